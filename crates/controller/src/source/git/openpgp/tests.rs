//! Keys and signatures as no program writes them, each wrong in one way.

use std::slice::from_ref;

use pgp::composed::{KeyType, SecretKeyParamsBuilder, SubkeyParamsBuilder};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::packet::{
    KeyFlags, Notation, SecretKey, SecretSubkey, SignatureConfig, Subpacket, SubpacketData, UserId,
};
use pgp::types::{Duration, PacketHeaderVersion, Password, SigningKey, Timestamp as Seconds};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;

const DAY: u32 = 86_400;
/// 2025-01-01, when all keys were made.
const MADE: u32 = 1_735_689_600;
const PAYLOAD: &[u8] = b"tree x\n\nx\n";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// A primary key and a subkey that signs, without a word about them.
struct Key {
    primary: SecretKey,
    subkey: SecretSubkey,
}

/// The same for the same seed.
fn key_of(kind: KeyType, seed: u64) -> Key {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(kind.clone())
        .can_sign(true)
        .created_at(Seconds::from_secs(MADE))
        .build()
        .unwrap();
    let params = SecretKeyParamsBuilder::default()
        .key_type(kind)
        .can_certify(true)
        .created_at(Seconds::from_secs(MADE))
        .primary_user_id("unused".to_owned())
        .subkey(subkey)
        .build()
        .unwrap();
    let mut made = params.generate(ChaCha20Rng::seed_from_u64(seed)).unwrap();
    Key { primary: made.primary_key, subkey: made.secret_subkeys.remove(0).key }
}

fn key(seed: u64) -> Key {
    key_of(KeyType::Ed25519Legacy, seed)
}

/// What a test changes in what is said.
type Change<'a> = &'a dyn Fn(&mut SignatureConfig);

const AS_IT_IS: Change<'static> = &|_| ();

fn add(data: SubpacketData) -> impl Fn(&mut SignatureConfig) {
    move |config| config.hashed_subpackets.push(Subpacket::regular(data.clone()).unwrap())
}

fn unflagged(config: &mut SignatureConfig) {
    config.hashed_subpackets.retain(|one| !matches!(one.data, SubpacketData::KeyFlags(_)));
}

fn certifies(config: &mut SignatureConfig) {
    unflagged(config);
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    add(SubpacketData::KeyFlags(flags))(config);
}

fn key_ends(config: &mut SignatureConfig) {
    add(SubpacketData::KeyExpirationTime(Duration::from_secs(DAY)))(config);
}

fn ends(config: &mut SignatureConfig) {
    add(SubpacketData::SignatureExpirationTime(Duration::from_secs(DAY)))(config);
}

fn at(config: &mut SignatureConfig, seconds: u32) {
    for one in &mut config.hashed_subpackets {
        if let SubpacketData::SignatureCreationTime(made) = &mut one.data {
            *made = Seconds::from_secs(seconds);
        }
    }
}

fn later(config: &mut SignatureConfig) {
    at(config, MADE + 2 * DAY);
}

fn to_come(config: &mut SignatureConfig) {
    at(config, u32::try_from(now().as_second()).unwrap() + 1);
}

fn noted(config: &mut SignatureConfig) {
    let note = Notation { readable: true, name: "only@example".into(), value: "on Mondays".into() };
    let note = Subpacket::critical(SubpacketData::Notation(note)).unwrap();
    config.hashed_subpackets.push(note);
}

fn said(typ: SignatureType, by: &impl SigningKey, change: Change<'_>) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, by.algorithm(), HashAlgorithm::Sha256);
    let mut flags = KeyFlags::default();
    flags.set_sign(true);
    add(SubpacketData::SignatureCreationTime(Seconds::from_secs(MADE)))(&mut config);
    add(SubpacketData::IssuerFingerprint(by.fingerprint()))(&mut config);
    if typ != SignatureType::Binary {
        add(SubpacketData::KeyFlags(flags))(&mut config);
    }
    change(&mut config);
    config
}

fn no_password() -> Password {
    Password::empty()
}

impl Key {
    fn id() -> UserId {
        UserId::from_str(PacketHeaderVersion::default(), "Ann <ann@example>").unwrap()
    }

    fn of_user(&self, typ: SignatureType, change: Change<'_>) -> Signature {
        let config = said(typ, &self.primary, change);
        let public = self.primary.public_key();
        let signed = config.sign_certification(
            &self.primary,
            public,
            &no_password(),
            Tag::UserId,
            &Self::id(),
        );
        signed.unwrap()
    }

    fn user(&self, change: Change<'_>) -> Signature {
        self.of_user(SignatureType::CertPositive, change)
    }

    fn direct(&self, typ: SignatureType, change: Change<'_>) -> Signature {
        let config = said(typ, &self.primary, change);
        config.sign_key(&self.primary, &no_password(), self.primary.public_key()).unwrap()
    }

    /// By the subkey on the primary key.
    fn back(&self, change: Change<'_>) -> Signature {
        let config = said(SignatureType::KeyBinding, &self.subkey, change);
        let (own, primary) = (self.subkey.public_key(), self.primary.public_key());
        config.sign_primary_key_binding(&self.subkey, own, &no_password(), primary).unwrap()
    }

    fn binding_with(&self, typ: SignatureType, change: Change<'_>) -> Signature {
        let config = said(typ, &self.primary, change);
        let (own, subkey) = (self.primary.public_key(), self.subkey.public_key());
        config.sign_subkey_binding(&self.primary, own, &no_password(), subkey).unwrap()
    }

    fn binding(&self, change: Change<'_>) -> Signature {
        let back = SubpacketData::EmbeddedSignature(Box::new(self.back(AS_IT_IS)));
        self.binding_with(SignatureType::SubkeyBinding, &|config| {
            add(back.clone())(config);
            change(config);
        })
    }

    /// With these words on the key, on its user and on its subkey.
    fn ring(&self, direct: &[Signature], user: &[Signature], subkey: &[Signature]) -> Vec<u8> {
        let mut packets = vec![Packet::from(self.primary.public_key().clone())];
        let words = |all: &[Signature]| all.iter().cloned().map(Packet::from).collect::<Vec<_>>();
        packets.extend(words(direct));
        packets.push(Packet::from(Self::id()));
        packets.extend(words(user));
        packets.push(Packet::from(self.subkey.public_key().clone()));
        packets.extend(words(subkey));
        bytes(&packets)
    }

    fn good(&self) -> Vec<u8> {
        self.ring(&[], &[self.user(AS_IT_IS)], &[self.binding(AS_IT_IS)])
    }

    fn signs(&self, change: Change<'_>) -> Signature {
        signs(&self.primary, change)
    }

    fn subkey_signs(&self) -> Signature {
        signs(&self.subkey, AS_IT_IS)
    }
}

fn signs(by: &impl SigningKey, change: Change<'_>) -> Signature {
    said(SignatureType::Binary, by, change).sign(by, &no_password(), PAYLOAD).unwrap()
}

/// As if made by this hash, with which the library refuses to sign.
fn claimed(signature: &Signature, hash: HashAlgorithm) -> Signature {
    let mut config = signature.config().unwrap().clone();
    config.hash_alg = hash;
    let (start, made) = (signature.signed_hash_value().unwrap(), signature.signature().unwrap());
    Signature::from_config(config, start, made.clone()).unwrap()
}

fn bytes(packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(|one| one.to_bytes().unwrap()).collect()
}

fn armour(packets: &[Packet]) -> Vec<u8> {
    armoured(&bytes(packets))
}

fn armoured(bytes: &[u8]) -> Vec<u8> {
    let text = base64(bytes);
    format!("-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----\n").into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, chunk) in bytes.chunks(3).enumerate() {
        if at % 16 == 0 && at > 0 {
            text.push('\n');
        }
        let all = chunk
            .iter()
            .chain([&0; 3])
            .take(3)
            .fold(0_usize, |all, one| all << 8 | usize::from(*one));
        for place in 0..4 {
            let digit = DIGITS[all >> (18 - 6 * place) & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

fn checked_bytes(ring: &[u8], armour: &[u8], payload: &[u8]) -> Result<Signer, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ring).unwrap();
    verify(armour, payload, file.path(), now())
}

fn checked(ring: &[u8], signature: &Signature) -> Result<Signer, String> {
    checked_bytes(ring, &armour(&[Packet::from(signature.clone())]), PAYLOAD)
}

fn held(case: &str, ring: &[u8], signature: &Signature, why: &str) {
    let told = checked(ring, signature).expect_err(case);
    assert!(told.contains(why), "{case}: {told}");
}

#[test]
fn a_primary_key_and_its_subkey_sign_for_their_owner() {
    let (ann, eve) = (key(1), key(2));
    let fingerprint = format!("{:X}", ann.primary.fingerprint());
    let signer = Signer { principal: "Ann <ann@example>".to_owned(), fingerprint };
    let (user, binding) = (ann.user(AS_IT_IS), ann.binding(AS_IT_IS));
    let old = |one: &mut SignatureConfig| key_ends(one);
    let direct = ann.direct(SignatureType::Key, AS_IT_IS);
    for (case, ring) in [
        ("alone", ann.good()),
        ("beside another", [eve.good(), ann.good()].concat()),
        ("with a revocation of another", {
            let revoked = eve.direct(SignatureType::KeyRevocation, AS_IT_IS);
            let other = eve.ring(&[revoked], &[], &[]);
            [other, ann.good()].concat()
        }),
        (
            "extended",
            ann.ring(
                &[],
                &[ann.user(&old), ann.user(&later)],
                &[ann.binding(&old), ann.binding(&later)],
            ),
        ),
        ("directly, too", ann.ring(&[direct], from_ref(&user), from_ref(&binding))),
        ("with another's word on it", ann.ring(&[], &[eve.user(AS_IT_IS), user], &[binding])),
    ] {
        for signature in [ann.signs(AS_IT_IS), ann.subkey_signs()] {
            assert_eq!(checked(&ring, &signature), Ok(signer.clone()), "{case}");
        }
    }
    let sha512 = |one: &mut SignatureConfig| one.hash_alg = HashAlgorithm::Sha512;
    assert_eq!(checked(&ann.good(), &ann.signs(&sha512)), Ok(signer));
}

#[test]
fn a_primary_key_in_doubt_signs_nothing() {
    let (ann, eve) = (key(1), key(2));
    let signature = ann.signs(AS_IT_IS);
    let user = || ann.user(AS_IT_IS);
    let revokes = |by: &Key| by.direct(SignatureType::KeyRevocation, AS_IT_IS);
    let with = |all: &[Signature]| ann.ring(&[], all, &[]);
    let unsigned = "has no valid signature of its owner on itself";
    let revoked_user = ann.of_user(SignatureType::CertRevocation, AS_IT_IS);
    for (case, ring, why) in [
        ("another key", eve.good(), "which is not in"),
        ("expired", with(&[ann.user(&key_ends)]), "expired at 2025-01-02T00:00:00Z by"),
        (
            "shortened",
            with(&[user(), ann.user(&|one| (later(one), key_ends(one)).0)]),
            "expired at 2025-01-02T00:00:00Z by",
        ),
        ("for certificates", with(&[ann.user(&certifies)]), "may not sign files by"),
        ("without flags", with(&[ann.user(&unflagged)]), "may not sign files by"),
        ("unsigned", with(&[]), unsigned),
        ("by another", with(&[eve.user(AS_IT_IS)]), unsigned),
        ("in the future", with(&[ann.user(&to_come)]), unsigned),
        ("a word that ended", with(&[ann.user(&ends)]), unsigned),
        ("with a restriction", with(&[ann.user(&noted)]), unsigned),
        ("a revoked name", with(&[user(), revoked_user]), unsigned),
        ("revoked", ann.ring(&[revokes(&ann)], &[user()], &[]), "is revoked in"),
        ("revoked by another", ann.ring(&[revokes(&eve)], &[user()], &[]), "is revoked in"),
        (
            "revoked elsewhere",
            [bytes(&[Packet::from(revokes(&ann))]), ann.good()].concat(),
            "is revoked in",
        ),
        ("revoked below a name", with(&[user(), revokes(&ann)]), "is revoked in"),
    ] {
        held(case, &ring, &signature, why);
    }
    let odd = key_of(KeyType::ECDSA(ECCCurve::Secp256k1), 1);
    held("kind", &odd.good(), &odd.signs(AS_IT_IS), "is of a kind that is not supported");
}

#[test]
fn a_subkey_in_doubt_signs_nothing() {
    let (ann, eve) = (key(1), key(2));
    let signature = ann.subkey_signs();
    let with = |all: &[Signature]| ann.ring(&[], &[ann.user(AS_IT_IS)], all);
    let bare = |back: Option<Signature>| {
        let back = back.map(|one| SubpacketData::EmbeddedSignature(Box::new(one)));
        ann.binding_with(SignatureType::SubkeyBinding, &|one| {
            if let Some(back) = &back {
                add(back.clone())(one);
            }
        })
    };
    let unbound = "is bound to no primary key";
    let unreturned = "has not signed for its primary key";
    let revoked = ann.binding_with(SignatureType::SubkeyRevocation, AS_IT_IS);
    for (case, ring, why) in [
        ("for certificates", with(&[ann.binding(&certifies)]), "may not sign files by"),
        ("without flags", with(&[ann.binding(&unflagged)]), "may not sign files by"),
        ("expired", with(&[ann.binding(&key_ends)]), "expired at 2025-01-02T00:00:00Z by"),
        ("unbound", with(&[]), unbound),
        ("bound by another", with(&[eve.binding(AS_IT_IS)]), unbound),
        ("bound in the future", with(&[ann.binding(&to_come)]), unbound),
        ("bound for a time", with(&[ann.binding(&ends)]), unbound),
        ("unreturned", with(&[bare(None)]), unreturned),
        ("returned by another", with(&[bare(Some(eve.back(AS_IT_IS)))]), unreturned),
        ("revoked", with(&[ann.binding(AS_IT_IS), revoked]), "is revoked in"),
        (
            "of an expired key",
            ann.ring(&[], &[ann.user(&key_ends)], &[ann.binding(AS_IT_IS)]),
            "which expired at",
        ),
        (
            "of a revoked key",
            ann.ring(
                &[ann.direct(SignatureType::KeyRevocation, AS_IT_IS)],
                &[ann.user(AS_IT_IS)],
                &[ann.binding(AS_IT_IS)],
            ),
            "which is revoked in",
        ),
        (
            "of an unsigned key",
            ann.ring(&[], &[], &[ann.binding(AS_IT_IS)]),
            "which has no valid signature of its owner",
        ),
    ] {
        held(case, &ring, &signature, why);
    }
    let taken = eve.ring(&[], &[eve.user(AS_IT_IS)], &[]);
    let stolen =
        [Packet::from(ann.subkey.public_key().clone()), Packet::from(ann.binding(AS_IT_IS))];
    held("below another", &[taken, bytes(&stolen)].concat(), &signature, unbound);
}

#[test]
fn nothing_that_is_said_of_a_key_by_a_weak_hash_counts() {
    let ann = key(1);
    for said in [ann.user(AS_IT_IS), ann.binding(AS_IT_IS), ann.back(AS_IT_IS)] {
        assert!(is_in_force(&said, now()));
        for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160] {
            assert!(!is_in_force(&claimed(&said, hash), now()), "{hash}");
        }
    }
}

#[test]
fn a_signature_in_doubt_is_held() {
    let ann = key(1);
    let ring = ann.good();
    let undated = |one: &mut SignatureConfig| {
        one.hashed_subpackets.retain(|one| one.typ() != SubpacketType::SignatureCreationTime);
    };
    let nameless = |one: &mut SignatureConfig| {
        one.hashed_subpackets.retain(|one| one.typ() != SubpacketType::IssuerFingerprint);
    };
    let text = |one: &mut SignatureConfig| one.typ = SignatureType::Text;
    let early = |one: &mut SignatureConfig| at(one, MADE - 1);
    let cases: [(_, Change<'_>, _); 7] = [
        ("restricted", &noted, "is not of OpenPGP's version 4"),
        ("of text", &text, "for another purpose"),
        ("undated", &undated, "does not say when it was made"),
        ("to come", &to_come, "is dated 2026-06-01T00:00:01Z, which is to come"),
        ("expired", &ends, "expired at 2025-01-02T00:00:00Z"),
        ("before its key", &early, "does not fit what the commit says"),
        ("nameless", &nameless, "the OpenPGP key that it does not name, which is not in"),
    ];
    for (case, change, why) in cases {
        held(case, &ring, &ann.signs(change), why);
    }
    for (hash, name) in [(HashAlgorithm::Md5, "MD5"), (HashAlgorithm::Sha1, "SHA1")] {
        held(name, &ring, &claimed(&ann.signs(AS_IT_IS), hash), &format!("but {name}"));
    }
    let good = armour(&[Packet::from(ann.signs(AS_IT_IS))]);
    let told = checked_bytes(&ring, &good, b"tree y\n\nx\n").unwrap_err();
    assert!(told.contains("does not fit what the commit says"), "{told}");
    let one = Packet::from(ann.signs(AS_IT_IS));
    let long = [&good[..40], " ".repeat(64 << 10).as_bytes(), &good[40..]].concat();
    for (case, armour, why) in [
        ("two", armour(&[one.clone(), one]), "it is more than one"),
        ("none", armour(&[]), "cannot be understood"),
        ("a name", armour(&[Packet::from(Key::id())]), "it holds none"),
        ("cut", good[..good.len() / 2].to_vec(), "it is cut off"),
        ("long", long, "larger than 64 KiB"),
    ] {
        let told = checked_bytes(&ring, &armour, PAYLOAD).expect_err(case);
        assert!(told.contains(why), "{case}: {told}");
    }
}

#[test]
fn keys_that_cannot_be_known_allow_nobody() {
    let ann = key(1);
    let signature = ann.signs(AS_IT_IS);
    let secret = bytes(&[Packet::from(ann.primary.clone())]);
    let cut = ann.good();
    for (case, ring, why) in [
        ("empty", Vec::new(), "it holds no key"),
        ("words", b"# the keys of the team\n".to_vec(), "it holds no key"),
        ("no text", vec![0x7f, 0xff], "expected public keys"),
        ("private", secret, "it holds a private key"),
        (
            "private in armour",
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n".to_vec(),
            "it holds a private key",
        ),
        ("a signature", b"-----BEGIN PGP SIGNATURE-----\n".to_vec(), "expected public keys"),
        ("cut armour", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmD".to_vec(), "is cut off"),
        ("cut", cut[..cut.len() - 9].to_vec(), "cannot be understood"),
        ("twice", [ann.good(), ann.good()].concat(), "twice: leave the newest"),
        ("a name first", bytes(&[Packet::from(Key::id())]), "expected public keys"),
        ("large", vec![b' '; (4 << 20) + 1], "larger than 4 MiB"),
    ] {
        held(case, &ring, &signature, "cannot be known: ");
        held(case, &ring, &signature, why);
    }
    let armour = armour(&[Packet::from(signature)]);
    let told = verify(&armour, PAYLOAD, Path::new("/nowhere/keys"), now()).unwrap_err();
    assert!(told.contains("/nowhere/keys cannot be known: No such file"), "{told}");
}

/// What the library reads by calling itself: one signature within another, as deep as the limit lets it be.
#[test]
fn a_signature_in_a_signature_in_a_signature_is_refused() {
    let mut nested: Vec<u8> = Vec::new();
    while nested.len() < 44 << 10 {
        let length = u32::try_from(nested.len() + 1).unwrap().to_be_bytes();
        let area = [&[255], &length[..], &[32], &nested].concat();
        let area_length = u16::try_from(area.len()).unwrap().to_be_bytes();
        let end = [0, 8, 1, 1];
        nested = [&[4, 0x19, 22, 8, 0, 0], &area_length[..], &area, &[0, 0], &end].concat();
    }
    let length = u32::try_from(nested.len()).unwrap().to_be_bytes();
    let armour = armoured(&[&[0xc2, 255], &length[..], &nested].concat());
    assert!(armour.len() < ARMOUR_BYTES_MAX);
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let told = thread.spawn(move || checked_bytes(&key(1).good(), &armour, PAYLOAD)).unwrap();
    assert!(told.join().unwrap().is_err());
}

/// One bit of each byte, and everything cut off behind it.
fn mangled(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    };
    (0..good.len()).flat_map(move |at| [flipped(at), good[..at].to_vec()])
}

#[test]
fn mangled_keys_and_signatures_are_refused_or_change_nothing() {
    let ann = key(1);
    let (ring, signature) = (ann.good(), bytes(&[Packet::from(ann.subkey_signs())]));
    let signer = checked_bytes(&ring, &armoured(&signature), PAYLOAD).unwrap();
    let mut refused = 0;
    for told in mangled(&ring)
        .map(|ring| checked_bytes(&ring, &armoured(&signature), PAYLOAD))
        .chain(mangled(&signature).map(|one| checked_bytes(&ring, &armoured(&one), PAYLOAD)))
    {
        match told {
            Ok(told) => assert_eq!(told.fingerprint, signer.fingerprint),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > ring.len() + signature.len(), "{refused}");
    let text = armoured(&signature);
    for one in mangled(&text) {
        let told = checked_bytes(&ring, &one, PAYLOAD);
        assert!(told.is_err() || told == Ok(signer.clone()), "{}", String::from_utf8_lossy(&one));
    }
}
