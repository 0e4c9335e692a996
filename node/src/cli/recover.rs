//! `synod recover`: the operator says that another host's loss is known.

use clap::ArgMatches;

use crate::boot::Failure;
use crate::config::Loaded;
use crate::datadir::{self, peers};

/// Notes the loss in this host's data directory, where a process that serves from it looks when the lost host calls.
pub(super) fn run(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let identity = datadir::expect_identity(&settings.data_dir)?;
    let host = matches.get_one::<u32>("lost-host").copied().unwrap_or_default();
    if host == identity.host {
        return Err(Failure::Usage(format!(
            "{} is host {host} itself; run this command on the other hosts",
            settings.data_dir.display()
        )));
    }
    match peers::pardon(&settings.data_dir, host)? {
        Some(lost) => {
            println!("host {host} may come back, once, as a learner with another data directory than {lost}");
            println!(
                "# next: the same on the other hosts; on host {host}: synod init --rejoin --cluster-id {}",
                identity.cluster
            );
            Ok(())
        }
        None => {
            Err(Failure::Other(format!("host {host} has never been met here, so nothing stands in its way")))
        }
    }
}
