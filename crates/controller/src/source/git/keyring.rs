//! The OpenPGP keys whose owners may sign, as `gpg --export` writes them; a part that is not understood never
//! leaves the others in force.

use std::io::{BufReader, Read as _};
use std::path::Path;

use pgp::armor::Dearmor;
use pgp::packet::{
    Packet, PacketParser, PublicKey, PublicSubkey, Signature, SignatureType, UserId,
};
use pgp::types::{Fingerprint, KeyDetails};

use super::signature::read_keys;

const ARMOUR: &str = "-----BEGIN PGP ";
const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// At least one certificate, none of them twice.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    pub certificates: Vec<Certificate>,
    revoked: Vec<Revoked>,
}

/// A primary key with what is said about it; nothing of it is verified.
#[derive(Debug)]
pub(super) struct Certificate {
    pub primary: PublicKey,
    /// On the key itself.
    pub direct: Vec<Signature>,
    pub users: Vec<(UserId, Vec<Signature>)>,
    pub subkeys: Vec<(PublicSubkey, Vec<Signature>)>,
}

/// One that stands alone says by its issuer which key it is about.
#[derive(Debug)]
enum Revoked {
    Key(Fingerprint),
    Issuer(Box<Signature>),
}

/// What the packet before was, which a signature is about.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Primary,
    User,
    Attribute,
    Subkey,
}

impl Keyring {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        Self::parse(&read_keys(file)?)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut ring = Self::default();
        // Every packet begins with this bit, and no text does.
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            ring.add(bytes)?;
        } else {
            let text = std::str::from_utf8(bytes).map_err(|_| NO_KEYS)?;
            for block in blocks(text)? {
                ring.add(&dearmoured(block.as_bytes())?)?;
            }
        }
        if ring.certificates.is_empty() { Err("it holds no key".to_owned()) } else { Ok(ring) }
    }

    fn add(&mut self, packets: &[u8]) -> Result<(), String> {
        let mut before = Before::Nothing;
        for packet in PacketParser::new(packets) {
            let packet =
                packet.map_err(|error| format!("a part of it cannot be understood ({error})"))?;
            before = self.packet(packet, before)?;
        }
        Ok(())
    }

    fn packet(&mut self, packet: Packet, before: Before) -> Result<Before, String> {
        let last = self.certificates.last_mut().filter(|_| !matches!(before, Before::Nothing));
        match (packet, last) {
            (Packet::PublicKey(primary), _) => self.certificate(primary),
            (Packet::UserId(id), Some(last)) => {
                last.users.push((id, Vec::new()));
                Ok(Before::User)
            }
            (Packet::PublicSubkey(key), Some(last)) => {
                last.subkeys.push((key, Vec::new()));
                Ok(Before::Subkey)
            }
            (Packet::UserAttribute(_), Some(_)) => Ok(Before::Attribute),
            (Packet::Signature(signature), _) => {
                self.signature(signature, before)?;
                Ok(before)
            }
            (Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_), _) => Ok(before),
            (Packet::SecretKey(_) | Packet::SecretSubkey(_), _) => Err(PRIVATE.to_owned()),
            _ => Err(NO_KEYS.to_owned()),
        }
    }

    fn certificate(&mut self, primary: PublicKey) -> Result<Before, String> {
        let fingerprint = primary.fingerprint();
        if self.certificates.iter().any(|one| one.primary.fingerprint() == fingerprint) {
            return Err(format!("it holds the key {fingerprint:X} twice: leave the newest"));
        }
        let (direct, users, subkeys) = (Vec::new(), Vec::new(), Vec::new());
        self.certificates.push(Certificate { primary, direct, users, subkeys });
        Ok(Before::Primary)
    }

    /// A revocation of a key counts wherever it stands and whether it is valid or not.
    fn signature(&mut self, signature: Signature, before: Before) -> Result<(), String> {
        let last = self.certificates.last_mut().filter(|_| !matches!(before, Before::Nothing));
        if signature.typ() == Some(SignatureType::KeyRevocation) {
            self.revoked.extend(last.map(|one| Revoked::Key(one.primary.fingerprint())));
            self.revoked.push(Revoked::Issuer(Box::new(signature)));
            return Ok(());
        }
        let last = last.ok_or(NO_KEYS)?;
        let said = match before {
            Before::Subkey => last.subkeys.last_mut().map(|(_, said)| said),
            _ if signature.typ() == Some(SignatureType::SubkeyRevocation) => {
                return Err(NO_KEYS.to_owned());
            }
            Before::Nothing | Before::Attribute => None,
            Before::Primary => Some(&mut last.direct),
            Before::User => last.users.last_mut().map(|(_, said)| said),
        };
        if let Some(said) = said {
            said.push(signature);
        }
        Ok(())
    }

    /// Of primary keys; what revokes a subkey stands below it.
    pub(super) fn is_revoked(&self, key: &impl KeyDetails) -> bool {
        self.revoked.iter().any(|one| match one {
            Revoked::Key(fingerprint) => *fingerprint == key.fingerprint(),
            Revoked::Issuer(signature) => is_issuer(signature, key),
        })
    }
}

const NO_KEYS: &str = "expected public keys as gpg --export --armor writes them";
const PRIVATE: &str = "it holds a private key: export public keys alone (gpg --export --armor)";

/// Whether the signature says that the key made it; what it says proves nothing.
pub(super) fn is_issuer(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (fingerprint, id) = (key.fingerprint(), key.legacy_key_id());
    signature.issuer_fingerprint().into_iter().any(|one| *one == fingerprint)
        || signature.issuer_key_id().into_iter().any(|one| *one == id)
}

/// Each block of armour; what stands between them is no key.
fn blocks(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(ARMOUR) {
        let body = after.strip_prefix("PUBLIC KEY BLOCK-----").ok_or_else(|| {
            let private = after.starts_with("PRIVATE KEY");
            if private { PRIVATE } else { NO_KEYS }.to_owned()
        })?;
        let (body, after) = body.split_once(END).ok_or("the last key in it is cut off")?;
        all.push(format!("{BEGIN}{body}{END}\n"));
        rest = after;
    }
    Ok(all)
}

/// The packets that the armour wraps.
pub(super) fn dearmoured(armour: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    Dearmor::new(BufReader::new(armour))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("its armour cannot be understood ({error})"))?;
    Ok(bytes)
}
