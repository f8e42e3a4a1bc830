//! Whether a signature of OpenPGP is by a key of a keyring and fits what was signed; never takes a key on which
//! anything is in doubt.

use std::path::Path;

use jiff::Timestamp;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    CERTIFICATION_SIGNATURE_TYPES, Packet, PacketParser, PublicSubkey, Signature, SignatureType,
    SignatureVersion, SubpacketType,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails, KeyVersion, PublicParams, Tag,
    VerifyingKey,
};

use super::keyring::{Certificate, Keyring, dearmoured, is_issuer};
use super::signature::Signer;
use crate::style::safe;

/// A signature by the largest of keys takes 3 KiB.
const ARMOUR_BYTES_MAX: usize = 64 << 10;
const RSA_BITS_MIN: u16 = 2048;

const KIND: &str = "is of a kind that is not supported (Ed25519, ECDSA with P-256, P-384 or P-521, and RSA from \
                    2048 bits, of OpenPGP's version 4, are) in";

/// The error is a sentence that begins with "it" or "its".
pub(super) fn verify(
    armour: &[u8],
    payload: &[u8],
    file: &Path,
    now: Timestamp,
) -> Result<Signer, String> {
    let signature = parsed(armour).map_err(|error| {
        format!("its signature cannot be understood ({error}): sign it anew and push that")
    })?;
    let ring = Keyring::read(file).map_err(|why| {
        format!(
            "the allowed keys in {} cannot be known: {why}. Mend the file; it is read again at the next \
             look",
            file.display()
        )
    })?;
    let key = named(&signature);
    let signing = Signing::find(&ring, &signature, now).map_err(|why| {
        format!(
            "it is signed with the OpenPGP key {key}, which {why} {}: sign it with an allowed key, or \
             allow this one",
            file.display()
        )
    })?;
    signing
        .fits(&signature, payload, now)
        .map_err(|why| format!("its signature by {key} {why}: sign it anew and push that"))?;
    Ok(signing.signer(now))
}

/// Exactly one signature, and nothing beside it.
fn parsed(armour: &[u8]) -> Result<Signature, String> {
    if armour.len() > ARMOUR_BYTES_MAX {
        return Err("it is larger than 64 KiB".to_owned());
    }
    if !armour.trim_ascii_end().ends_with(b"-----END PGP SIGNATURE-----") {
        return Err("it is cut off".to_owned());
    }
    let bytes = dearmoured(armour)?;
    let mut packets = PacketParser::new(bytes.as_slice());
    match (packets.next(), packets.next()) {
        (Some(Ok(Packet::Signature(signature))), None) => Ok(signature),
        (Some(Ok(Packet::Signature(_))), Some(_)) => Err("it is more than one".to_owned()),
        (Some(Err(error)), _) => Err(error.to_string()),
        _ => Err("it holds none".to_owned()),
    }
}

/// As the signature names the key that made it.
fn named(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|one| format!("{one:X}"));
    let id = || signature.issuer_key_id().first().map(|one| one.to_string().to_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "that it does not name".to_owned())
}

/// The key that made a signature, by what it says itself; the key may sign.
#[derive(Debug)]
struct Signing<'a> {
    certificate: &'a Certificate,
    subkey: Option<&'a PublicSubkey>,
}

impl<'a> Signing<'a> {
    /// The error continues "the key, which …" and ends before the name of the file.
    fn find(ring: &'a Keyring, signature: &Signature, now: Timestamp) -> Result<Self, String> {
        let mut why = "is not in".to_owned();
        for certificate in &ring.certificates {
            let subkeys = certificate.subkeys.iter().filter(|(key, _)| is_issuer(signature, key));
            let primary = is_issuer(signature, &certificate.primary).then_some(None);
            for subkey in primary.into_iter().chain(subkeys.map(Some)) {
                let refusal = match subkey {
                    None => primary_refusal(ring, certificate, true, now),
                    Some(subkey) => subkey_refusal(ring, certificate, subkey, now),
                };
                match refusal {
                    None => return Ok(Self { certificate, subkey: subkey.map(|(key, _)| key) }),
                    Some(refusal) => why = refusal,
                }
            }
        }
        Err(why)
    }

    /// The error continues "its signature …".
    fn fits(&self, signature: &Signature, payload: &[u8], now: Timestamp) -> Result<(), String> {
        if !is_strong(signature) {
            let hash = signature.hash_alg().map(|one| one.to_string()).unwrap_or_default();
            return Err(format!("is not of OpenPGP's version 4 with SHA-2 or SHA-3, but {hash}"));
        }
        if signature.typ() != Some(SignatureType::Binary) {
            return Err("was made for another purpose than a file".to_owned());
        }
        let made = created(signature).ok_or("does not say when it was made")?;
        if made > now.as_second() {
            return Err(format!("is dated {}, which is to come", time(made)));
        }
        if let Some(end) = end(signature).filter(|end| *end <= now.as_second()) {
            return Err(format!("expired at {}", time(end)));
        }
        let verified = match self.subkey {
            None => verified(&self.certificate.primary, signature, payload),
            Some(subkey) => verified(subkey, signature, payload),
        };
        if verified { Ok(()) } else { Err("does not fit what the commit says".to_owned()) }
    }

    fn signer(&self, now: Timestamp) -> Signer {
        let fingerprint = format!("{:X}", self.certificate.primary.fingerprint());
        let principal = self.certificate.principal(now).unwrap_or_else(|| fingerprint.clone());
        Signer { principal, fingerprint }
    }
}

/// A key does not sign what was there before it.
fn verified(key: &impl VerifyingKey, signature: &Signature, payload: &[u8]) -> bool {
    created(signature).is_some_and(|made| made >= i64::from(key.created_at().as_secs()))
        && signature.verify(key, payload).is_ok()
}

/// `signs`: it has to be allowed to sign files, too.
fn primary_refusal(
    ring: &Keyring,
    certificate: &Certificate,
    signs: bool,
    now: Timestamp,
) -> Option<String> {
    let key = &certificate.primary;
    if ring.is_revoked(key) {
        return Some("is revoked in".to_owned());
    }
    if !is_supported(key) {
        return Some(KIND.to_owned());
    }
    let said = newest(certificate.statements(now));
    if said.is_empty() {
        return Some(
            "has no valid signature of its owner on itself (by SHA-2 or SHA-3) in".to_owned(),
        );
    }
    unfit(key, &said, signs, now)
}

fn subkey_refusal(
    ring: &Keyring,
    certificate: &Certificate,
    (key, signatures): &(PublicSubkey, Vec<Signature>),
    now: Timestamp,
) -> Option<String> {
    if let Some(why) = primary_refusal(ring, certificate, false, now) {
        return Some(format!("belongs to {:X}, which {why}", certificate.primary.fingerprint()));
    }
    let same = certificate.subkeys.iter().filter(|(one, _)| one == key);
    let mut said = same.flat_map(|(_, said)| said);
    if said.any(|one| one.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Some("is revoked in".to_owned());
    }
    if !is_supported(key) {
        return Some(KIND.to_owned());
    }
    let bindings = signatures.iter().filter(|one| {
        one.typ() == Some(SignatureType::SubkeyBinding)
            && is_in_force(one, now)
            && one.verify_subkey_binding(&certificate.primary, key).is_ok()
    });
    let said = newest(bindings);
    if said.is_empty() {
        return Some("is bound to no primary key by a valid signature in".to_owned());
    }
    if let Some(why) = unfit(key, &said, true, now) {
        return Some(why);
    }
    let returns = |one: &&Signature| {
        one.embedded_signature().is_some_and(|back| {
            is_in_force(back, now)
                && back.verify_primary_key_binding(key, &certificate.primary).is_ok()
        })
    };
    let bound = said.iter().all(returns);
    (!bound).then(|| "has not signed for its primary key in".to_owned())
}

/// By what the owner said last about the key.
fn unfit(
    key: &impl KeyDetails,
    said: &[&Signature],
    signs: bool,
    now: Timestamp,
) -> Option<String> {
    let made = i64::from(key.created_at().as_secs());
    let lives = said.iter().filter_map(|one| one.key_expiration_time());
    let end = lives.map(|life| i64::from(life.as_secs())).filter(|life| *life > 0).min();
    // Who signs says when: an expired key is not taken at its word.
    if let Some(end) = end.map(|life| made + life).filter(|end| *end <= now.as_second()) {
        return Some(format!("expired at {} by", time(end)));
    }
    let may = said.iter().all(|one| one.key_flags().sign());
    (signs && !may).then(|| "may not sign files by".to_owned())
}

impl Certificate {
    /// What the owner says about the primary key.
    fn statements(&self, now: Timestamp) -> impl Iterator<Item = &Signature> {
        let is_direct = |one: &&Signature| {
            one.typ() == Some(SignatureType::Key) && one.verify_key(&self.primary).is_ok()
        };
        let withdrawn =
            self.direct.iter().any(|one| one.typ() == Some(SignatureType::CertRevocation));
        let direct = self.direct.iter().filter(move |_| !withdrawn).filter(is_direct);
        let of_users = self.by_user().map(|(_, signature)| signature);
        direct.chain(of_users).filter(move |one| is_in_force(one, now))
    }

    /// The valid signatures of the owner on the names that are not revoked.
    fn by_user(&self) -> impl Iterator<Item = (&str, &Signature)> {
        let own =
            |id, one: &Signature| one.verify_certification(&self.primary, Tag::UserId, id).is_ok();
        let is_kept = move |all: &[Signature], id| {
            let mut revocations =
                all.iter().filter(|one| one.typ() == Some(SignatureType::CertRevocation));
            !revocations.any(|one| own(id, one))
        };
        let users = self.users.iter().filter(move |(id, all)| is_kept(all, id));
        users.flat_map(move |(id, all)| {
            let said = all.iter().filter(move |one| {
                one.typ().is_some_and(|typ| CERTIFICATION_SIGNATURE_TYPES.contains(&typ))
                    && own(id, one)
            });
            said.map(|one| (id.as_str().unwrap_or_default(), one))
        })
    }

    /// The name that the owner gave last, the main one if there is one.
    fn principal(&self, now: Timestamp) -> Option<String> {
        self.by_user()
            .filter(|(name, one)| !name.is_empty() && is_in_force(one, now))
            .max_by_key(|(_, one)| (one.is_primary(), created(one)))
            .map(|(name, _)| safe(name).into_owned())
    }
}

/// Those that were made last, all within one second.
fn newest<'a>(all: impl Iterator<Item = &'a Signature>) -> Vec<&'a Signature> {
    let mut all: Vec<_> = all.collect();
    let last = all.iter().filter_map(|one| created(one)).max();
    all.retain(|one| created(one) == last);
    all
}

/// Of a signature about keys: it counts, if it is valid.
fn is_in_force(signature: &Signature, now: Timestamp) -> bool {
    is_strong(signature)
        && created(signature).is_some_and(|made| made <= now.as_second())
        && end(signature).is_none_or(|end| end > now.as_second())
}

/// Whether it can be relied on, once it is verified. What is critical and not understood may be a restriction.
fn is_strong(signature: &Signature) -> bool {
    let restricts = signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|one| {
            one.is_critical
                && matches!(
                    one.typ(),
                    SubpacketType::Other(_)
                        | SubpacketType::Experimental(_)
                        | SubpacketType::Notation
                )
        })
    });
    signature.version() == SignatureVersion::V4
        && !restricts
        && matches!(
            signature.hash_alg(),
            Some(
                HashAlgorithm::Sha256
                    | HashAlgorithm::Sha384
                    | HashAlgorithm::Sha512
                    | HashAlgorithm::Sha3_256
                    | HashAlgorithm::Sha3_512
            )
        )
}

fn is_supported(key: &impl KeyDetails) -> bool {
    let strong = match key.public_params() {
        PublicParams::RSA(_) => rsa_bits(key.public_params()).is_some_and(|n| n >= RSA_BITS_MIN),
        PublicParams::ECDSA(curve) => matches!(
            curve,
            EcdsaPublicParams::P256 { .. }
                | EcdsaPublicParams::P384 { .. }
                | EcdsaPublicParams::P521 { .. }
        ),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. })
        | PublicParams::Ed25519(_) => true,
        _ => false,
    };
    strong && key.version() == KeyVersion::V4
}

/// The modulus is written first, its length before it.
fn rsa_bits(key: &PublicParams) -> Option<u16> {
    let bytes = key.to_bytes().ok()?;
    bytes.first_chunk().map(|length| u16::from_be_bytes(*length))
}

/// In seconds since 1970.
fn created(signature: &Signature) -> Option<i64> {
    signature.created().map(|made| i64::from(made.as_secs()))
}

/// When the signature itself ends, if it does.
fn end(signature: &Signature) -> Option<i64> {
    let life = signature.signature_expiration_time().map(|life| i64::from(life.as_secs()));
    Some(created(signature)? + life.filter(|life| *life > 0)?)
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
