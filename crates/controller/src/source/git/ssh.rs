//! Whether a signature of SSH fits what was signed; never asks whose key it is.

use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use ssh_key::public::{EcdsaPublicKey, KeyData, RsaPublicKey};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, SshSig};

const BAD: &str = "does not fit what the commit says";
const KIND: &str = "is of a kind that is not supported (Ed25519, ECDSA with P-256 or P-384, RSA from 2048 \
                    bits with SHA-2, and the first two on security keys, are)";
const UNTOUCHED: &str = "was made without a touch of the security key";

/// A security key appends one byte of flags and four of a counter.
const TRAILER: usize = 5;
const USER_PRESENT: u8 = 1;

type Verdict = Result<(), &'static str>;

/// The error continues "its signature …".
pub(super) fn verify(signature: &SshSig, payload: &[u8]) -> Verdict {
    let (namespace, hash) = (signature.namespace(), signature.hash_alg());
    let message = SshSig::signed_data(namespace, hash, payload).map_err(|_| BAD)?;
    let (algorithm, bytes) = (signature.signature().algorithm(), signature.signature_bytes());
    match (signature.public_key(), algorithm) {
        (KeyData::Ed25519(key), Algorithm::Ed25519) => fits(&ED25519, &key.0, &message, bytes),
        (KeyData::Ecdsa(key), Algorithm::Ecdsa { curve }) if key.curve() == curve => {
            ecdsa(key, &message, bytes)
        }
        (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(hash) }) => rsa(key, hash, &message, bytes),
        (KeyData::SkEd25519(key), Algorithm::SkEd25519) => {
            let (message, bytes) = touched(key.application(), &message, bytes)?;
            fits(&ED25519, &key.public_key().0, &message, bytes)
        }
        (KeyData::SkEcdsaSha2NistP256(key), Algorithm::SkEcdsaSha2NistP256) => {
            let (message, bytes) = touched(key.application(), &message, bytes)?;
            let bytes = fixed(bytes, 32).ok_or(BAD)?;
            fits(&ECDSA_P256_SHA256_FIXED, key.ec_point().as_bytes(), &message, &bytes)
        }
        _ => Err(KIND),
    }
}

fn fits(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Verdict {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| BAD)
}

fn ecdsa(key: &EcdsaPublicKey, message: &[u8], signature: &[u8]) -> Verdict {
    let (algorithm, width): (&'static dyn VerificationAlgorithm, _) = match key.curve() {
        EcdsaCurve::NistP256 => (&ECDSA_P256_SHA256_FIXED, 32),
        EcdsaCurve::NistP384 => (&ECDSA_P384_SHA384_FIXED, 48),
        EcdsaCurve::NistP521 => return Err(KIND),
    };
    let signature = fixed(signature, width).ok_or(BAD)?;
    fits(algorithm, key.as_sec1_bytes(), message, &signature)
}

fn rsa(key: &RsaPublicKey, hash: HashAlg, message: &[u8], signature: &[u8]) -> Verdict {
    let parameters: &RsaParameters = match hash {
        HashAlg::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        HashAlg::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(KIND),
    };
    let n = key.n.as_positive_bytes().ok_or(BAD)?;
    let e = key.e.as_positive_bytes().ok_or(BAD)?;
    RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).map_err(|_| BAD)
}

/// What a security key signs, and the signature without its trailer.
fn touched<'a>(
    application: &str,
    message: &[u8],
    signature: &'a [u8],
) -> Result<(Vec<u8>, &'a [u8]), &'static str> {
    let end = signature.len().checked_sub(TRAILER).ok_or(BAD)?;
    let (signature, trailer) = signature.split_at_checked(end).ok_or(BAD)?;
    if trailer.first().is_none_or(|flags| flags & USER_PRESENT == 0) {
        return Err(UNTOUCHED);
    }
    let (application, message) =
        (digest(&SHA256, application.as_bytes()), digest(&SHA256, message));
    Ok(([application.as_ref(), trailer, message.as_ref()].concat(), signature))
}

/// Two numbers of SSH as two of `width` bytes each.
fn fixed(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let (r, rest) = number(signature)?;
    let (s, rest) = number(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let mut both = Vec::with_capacity(2 * width);
    for one in [r, s] {
        both.resize(both.len() + width.checked_sub(one.len())?, 0);
        both.extend_from_slice(one);
    }
    Some(both)
}

/// Without zeros in front, and what follows it.
fn number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (number, rest) = rest.split_at_checked(length)?;
    Some((number.strip_prefix(&[0]).unwrap_or(number), rest))
}
