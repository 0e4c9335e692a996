//! Reads the cluster secret, from the settings or from its file.

use std::os::unix::fs::PermissionsExt;

use super::Failure;
use crate::config::check::secret_problem;
use crate::config::limits::SECRET_BYTES_MAX;
use crate::config::{Secret, Settings};

/// The secret, if one is configured. A file that others may read is refused: they could join the cluster.
pub fn read(settings: &Settings) -> Result<Option<Secret>, Failure> {
    let Some(path) = &settings.cluster_secret_file else { return Ok(settings.cluster_secret.clone()) };
    let name = path.display();
    let failed = |e: std::io::Error| {
        Failure::Unusable(format!(
            "cannot read cluster_secret_file {name}: {e}; copy it from the host where `synod init --new-cluster` made it"
        ))
    };
    let facts = std::fs::metadata(path).map_err(failed)?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err(Failure::Unusable(format!(
            "cluster_secret_file {name} can be read by other users; run `chmod 600 {name}`"
        )));
    }
    if facts.len() > SECRET_BYTES_MAX as u64 + 2 {
        return Err(Failure::Unusable(format!("cluster_secret_file {name} is too long to be a secret")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret_problem(&format!("cluster_secret_file {name}"), secret) {
        Some(problem) => Err(Failure::Unusable(problem)),
        None => Ok(Some(Secret::new(secret))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_secret_file_must_be_private_and_long_enough() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        let texts = BTreeMap::from([("cluster_secret_file", path.display().to_string())]);
        let settings = Settings::from_texts(&texts).expect("valid");
        let refused = || read(&settings).expect_err("refused").to_string();
        assert!(refused().contains("cannot read cluster_secret_file"), "{}", refused());
        std::fs::write(&path, "0123456789abcdef\n").expect("written");
        let chmod = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("changed");
        chmod(0o640);
        assert!(refused().contains("run `chmod 600"), "{}", refused());
        chmod(0o600);
        assert_eq!(read(&settings), Ok(Some(Secret::new("0123456789abcdef"))));
        std::fs::write(&path, "short\n").expect("written");
        assert!(refused().contains("the secret has 5 characters"), "{}", refused());
        std::fs::write(&path, "x".repeat(5000)).expect("written");
        assert!(refused().contains("too long to be a secret"), "{}", refused());
    }
}
