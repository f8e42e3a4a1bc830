//! ARNs and ids in AWS's forms; never stores anything.

use super::State;
use super::task::TaskId;

impl State {
    pub(crate) fn ecs_arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.settings.region, self.settings.account)
    }

    pub(crate) fn elb_arn(&self, resource: &str) -> String {
        format!(
            "arn:aws:elasticloadbalancing:{}:{}:{resource}",
            self.settings.region, self.settings.account
        )
    }

    /// Nineteen digits, as in `ecs-svc/6216346761948112104`.
    pub(crate) fn new_number(&mut self) -> u64 {
        self.rng.u64(1_000_000_000_000_000_000..=9_999_999_999_999_999_999)
    }

    pub(crate) fn new_hex16(&mut self) -> String {
        format!("{:016x}", self.rng.u64(..))
    }

    pub(crate) fn new_uuid(&mut self) -> String {
        uuid(self.rng.u128(..))
    }

    /// Twenty-one characters, as at the end of a service deployment's ARN.
    pub(crate) fn new_deployment_suffix(&mut self) -> String {
        (0..21).map(|_| self.rng.alphanumeric()).collect()
    }
}

pub(crate) fn uuid(bits: u128) -> String {
    let time = bits >> 96;
    let rest = [(bits >> 80) & 0xffff, (bits >> 64) & 0xffff, (bits >> 48) & 0xffff];
    let node = bits & 0xffff_ffff_ffff;
    let [a, b, c] = rest;
    format!("{time:08x}-{a:04x}-{b:04x}-{c:04x}-{node:012x}")
}

/// The thirty-two hexadecimal digits of a task: a random half and its number.
pub(crate) fn task_hex(random: u64, id: TaskId) -> String {
    format!("{random:016x}{:016x}", id.0)
}

/// The number in a task's ARN or id; whether there is such a task is for the caller to check.
pub(crate) fn task_id(arn_or_id: &str) -> Option<TaskId> {
    let hex = last_part(arn_or_id);
    let digits = hex.get(16..32).filter(|_| hex.len() == 32)?;
    u64::from_str_radix(digits, 16).ok().map(TaskId)
}

/// What follows the last slash.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A digest that stands for an image; the same image name has the same one.
pub(crate) fn image_digest(image: &str) -> String {
    let seed = image.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = fastrand::Rng::with_seed(seed);
    format!("sha256:{:032x}{:032x}", rng.u128(..), rng.u128(..))
}
