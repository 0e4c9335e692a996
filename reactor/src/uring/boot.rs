//! What has to be true of the machine before a core can start, each with one sentence that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use io_uring::{opcode, Probe};

use super::limits::{LOCKED_BYTES_MIN, OPEN_FILES_MIN, OPEN_FILES_WANTED};
use super::ring;

/// The status with which a process ends that cannot start as it is configured (EX_CONFIG of sysexits.h).
pub const EXIT_CONFIG: i32 = 78;

/// The oldest kernel that has everything the ring uses (deferred task running came last).
const KERNEL_MIN: &str = "6.1";

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootReason {
    /// The kernel lacks io_uring, or is older than what we use of it.
    KernelTooOld,
    /// io_uring is switched off by the system's administrator.
    UringDisabled,
    /// io_uring is blocked by a filter, usually that of a container.
    UringBlocked,
    /// The limit of locked memory is too small, or no memory is free.
    LockedMemory,
    /// The limit of open files is too small.
    OpenFiles,
    /// The CPU asked for cannot be used.
    Cpu,
    /// An address cannot be listened on.
    Address,
    /// A core's directory cannot be used.
    Directory,
    /// Anything else that the system refused.
    System,
}

/// Why a process cannot start: a reason to tell apart, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct BootError {
    /// What stood in the way.
    pub reason: BootReason,
    /// One sentence for the operator.
    pub sentence: String,
}

impl BootError {
    /// An error of the caller's own, for owners that cannot be made.
    pub fn new(reason: BootReason, sentence: impl Into<String>) -> BootError {
        BootError { reason, sentence: sentence.into() }
    }

    pub(super) fn ring(error: &io::Error) -> BootError {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        explain_ring(error, disabled.as_deref().map(str::trim))
    }

    pub(super) fn directory(path: &Path, error: &io::Error) -> BootError {
        let path = path.display();
        let advice = "make it and give it to the user that runs this process";
        BootError::new(
            BootReason::Directory,
            format!("cannot open the directory {path} ({error}): {advice}."),
        )
    }

    pub(super) fn listen(address: SocketAddr, error: &io::Error) -> BootError {
        let advice = match error.raw_os_error() {
            Some(libc::EADDRINUSE) => "end the process that uses it or configure another port",
            Some(libc::EADDRNOTAVAIL) => "configure an address that this machine has",
            Some(libc::EACCES) => "use a port above 1023 or grant CAP_NET_BIND_SERVICE",
            _ => "configure an address that can be listened on",
        };
        BootError::new(BootReason::Address, format!("cannot listen on {address} ({error}): {advice}."))
    }

    pub(super) fn executor(cpu: Option<usize>, error: &dyn std::fmt::Display) -> BootError {
        match cpu {
            Some(cpu) => BootError::new(
                BootReason::Cpu,
                format!(
                    "cannot run a core on CPU {cpu} ({error}): configure a CPU that this process may use."
                ),
            ),
            None => BootError::new(
                BootReason::System,
                format!("cannot start a core ({error}): remove what the system refuses and start again."),
            ),
        }
    }

    pub(super) fn system(what: &str, error: &io::Error) -> BootError {
        let advice = "remove what the system refuses and start again";
        BootError::new(BootReason::System, format!("cannot {what} ({error}): {advice}."))
    }
}

/// Why a ring could not be made; `disabled` is the value of the switch `kernel.io_uring_disabled`, if there is one.
fn explain_ring(error: &io::Error, disabled: Option<&str>) -> BootError {
    let (reason, sentence) = match (error.raw_os_error(), disabled) {
        (Some(libc::ENOSYS), _) => (
            BootReason::KernelTooOld,
            format!("This kernel has no io_uring: run Linux {KERNEL_MIN} or newer, with CONFIG_IO_URING."),
        ),
        (Some(libc::EINVAL), _) => (
            BootReason::KernelTooOld,
            format!("This kernel's io_uring is too old: run Linux {KERNEL_MIN} or newer."),
        ),
        (Some(libc::EPERM), Some("2")) => (
            BootReason::UringDisabled,
            "io_uring is switched off: set sysctl kernel.io_uring_disabled=0 and start again.".to_owned(),
        ),
        (Some(libc::EPERM), Some("1")) => (
            BootReason::UringDisabled,
            "io_uring is reserved to a group: set sysctl kernel.io_uring_disabled=0, or add this user to the \
             group of kernel.io_uring_group."
                .to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), _) => (
            BootReason::UringBlocked,
            "io_uring is blocked by a seccomp filter: allow io_uring_setup, io_uring_enter and io_uring_register \
             in the container's seccomp profile, or run it with --security-opt seccomp=unconfined."
                .to_owned(),
        ),
        (Some(libc::ENOMEM), _) => (
            BootReason::LockedMemory,
            "The kernel has no memory for io_uring: raise the limit of locked memory (LimitMEMLOCK=infinity in the \
             unit file, or ulimit -l unlimited), or if it is not that, free some memory."
                .to_owned(),
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => (
            BootReason::OpenFiles,
            "No file descriptor is left for io_uring: raise the limit of open files (LimitNOFILE= in the unit \
             file, or ulimit -n)."
                .to_owned(),
        ),
        _ => (
            BootReason::System,
            format!("Cannot make an io_uring ({error}): run Linux {KERNEL_MIN} or newer with io_uring allowed."),
        ),
    };
    BootError { reason, sentence }
}

/// Checks, and where it can puts right, what every core needs. Call it first thing in `main`, before any thread
/// exists: registering with membarrier stalls for tens of milliseconds when there are threads.
pub fn check() -> Result<(), BootError> {
    glommio::early_init();
    check_open_files()?;
    check_locked_memory()?;
    check_ring()
}

fn check_open_files() -> Result<(), BootError> {
    let have = raise(libc::RLIMIT_NOFILE, OPEN_FILES_WANTED)
        .map_err(|error| BootError::system("read the limit of open files", &error))?;
    explain_open_files(have)
}

fn explain_open_files(have: u64) -> Result<(), BootError> {
    if have >= OPEN_FILES_MIN {
        return Ok(());
    }
    let sentence = format!(
        "The limit of open files is {have}, which is too small: raise it to {OPEN_FILES_MIN} or more \
         (LimitNOFILE= in the unit file, or ulimit -n)."
    );
    Err(BootError::new(BootReason::OpenFiles, sentence))
}

fn check_locked_memory() -> Result<(), BootError> {
    let have = raise(libc::RLIMIT_MEMLOCK, u64::MAX)
        .map_err(|error| BootError::system("read the limit of locked memory", &error))?;
    explain_locked_memory(have)
}

fn explain_locked_memory(have: u64) -> Result<(), BootError> {
    if have >= LOCKED_BYTES_MIN {
        return Ok(());
    }
    let sentence = format!(
        "The limit of locked memory is {have} bytes, which is too small: raise it to {LOCKED_BYTES_MIN} or more \
         (LimitMEMLOCK=infinity in the unit file, or ulimit -l)."
    );
    Err(BootError::new(BootReason::LockedMemory, sentence))
}

/// Raises the soft limit to `wanted`, or to the hard limit if that is lower; returns what is in force.
fn raise(resource: libc::__rlimit_resource_t, wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = wanted.min(limit.rlim_max);
    if limit.rlim_cur <= before {
        return Ok(before);
    }
    // SAFETY: the structure outlives the call.
    let raised = unsafe { libc::setrlimit(resource, &limit) } == 0;
    Ok(if raised { limit.rlim_cur } else { before })
}

/// The operations that a core's ring uses, with what they are called in messages.
const OPERATIONS: [(u8, &str); 14] = [
    (opcode::Accept::CODE, "accept"),
    (opcode::Connect::CODE, "connect"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::AsyncCancel::CODE, "async_cancel"),
    (opcode::MsgRingData::CODE, "msg_ring"),
    (opcode::OpenAt::CODE, "openat"),
    (opcode::Close::CODE, "close"),
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::Fsync::CODE, "fsync"),
    (opcode::Fallocate::CODE, "fallocate"),
    (opcode::RenameAt::CODE, "renameat"),
    (opcode::UnlinkAt::CODE, "unlinkat"),
];

fn check_ring() -> Result<(), BootError> {
    let ring = ring::build(8, 16).map_err(|error| BootError::ring(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| BootError::ring(&error))?;
    let mut missing: Vec<&str> =
        OPERATIONS.iter().filter(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name).collect();
    let parameters = ring.params();
    for (has, name) in [
        (parameters.is_feature_nodrop(), "nodrop"),
        (parameters.is_feature_ext_arg(), "ext_arg"),
        (parameters.is_feature_skip_cqe_on_success(), "cqe_skip"),
    ] {
        if !has {
            missing.push(name);
        }
    }
    explain_missing(&missing)
}

fn explain_missing(missing: &[&str]) -> Result<(), BootError> {
    if missing.is_empty() {
        return Ok(());
    }
    let sentence =
        format!("This kernel's io_uring lacks {}: run Linux {KERNEL_MIN} or newer.", missing.join(", "));
    Err(BootError::new(BootReason::KernelTooOld, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes() {
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn every_refusal_has_its_remedy() {
        for (errno, disabled, reason, remedy) in [
            (libc::ENOSYS, None, BootReason::KernelTooOld, "run Linux"),
            (libc::EINVAL, Some("0"), BootReason::KernelTooOld, "run Linux"),
            (libc::EPERM, Some("2"), BootReason::UringDisabled, "sysctl kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("1"), BootReason::UringDisabled, "kernel.io_uring_group"),
            (libc::EPERM, Some("0"), BootReason::UringBlocked, "seccomp"),
            (libc::EPERM, None, BootReason::UringBlocked, "seccomp"),
            (libc::ENOMEM, Some("0"), BootReason::LockedMemory, "LimitMEMLOCK"),
            (libc::EMFILE, Some("0"), BootReason::OpenFiles, "LimitNOFILE"),
            (libc::EIO, Some("0"), BootReason::System, "run Linux"),
        ] {
            let error = explain_ring(&io::Error::from_raw_os_error(errno), disabled);
            assert_eq!(error.reason, reason, "{error}");
            assert!(error.sentence.contains(remedy), "{error}");
            assert_eq!(error.sentence.matches(". ").count(), 0, "one sentence: {error}");
        }
    }

    #[test]
    fn limits_are_compared_with_what_is_needed() {
        assert_eq!(explain_open_files(OPEN_FILES_MIN), Ok(()));
        assert!(explain_open_files(OPEN_FILES_MIN - 1).is_err_and(|e| e.reason == BootReason::OpenFiles));
        assert_eq!(explain_locked_memory(LOCKED_BYTES_MIN), Ok(()));
        assert!(
            explain_locked_memory(LOCKED_BYTES_MIN - 1).is_err_and(|e| e.reason == BootReason::LockedMemory)
        );
        assert_eq!(explain_missing(&[]), Ok(()));
        let missing = explain_missing(&["msg_ring"]).expect_err("something is missing");
        assert!(missing.sentence.contains("msg_ring"), "{missing}");
    }
}
