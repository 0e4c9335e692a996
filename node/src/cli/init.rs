//! `synod init`: makes the data directory of a host.

use clap::ArgMatches;

use crate::boot::Failure;
use crate::config::{Loaded, Settings};
use crate::datadir::{self, ClusterId, Init};

/// Makes the data directory, and says what to do next.
pub(super) fn run(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let cluster = cluster(settings, matches)?;
    let learner = matches.get_flag("rejoin");
    if learner && settings.host.len() < 2 {
        return Err(Failure::Usage("--rejoin needs the member list with the other hosts".to_owned()));
    }
    let identity = datadir::init(
        &settings.data_dir,
        Init { cluster, host: host(settings)?, slices: slices(settings)?, learner },
    )?;
    let secret = made_secret(settings, matches.get_flag("new-cluster"))?;
    println!("cluster_id = {}", identity.cluster);
    println!("host_id = {}", identity.host);
    println!("directory_id = {}", identity.directory);
    println!("cores = {}", identity.slices);
    println!("data_dir = {}", settings.data_dir.display());
    if let Some(secret) = secret {
        println!("cluster_secret_file = {secret}");
    }
    if learner {
        println!(
            "# this host is a learner now: it serves clients, but has no vote and holds no data, and that stays so in this \
             version"
        );
        println!(
            "# next: on the other hosts: synod recover --lost-host {}; then start this one",
            identity.host
        );
    }
    if matches.get_flag("new-cluster") && settings.host.len() > 1 {
        println!(
            "# next: copy the secret file to the other hosts, and run there: synod init --config FILE --cores {} \
             --cluster-id {}",
            identity.slices, identity.cluster
        );
    }
    Ok(())
}

fn cluster(settings: &Settings, matches: &ArgMatches) -> Result<ClusterId, Failure> {
    let joined = matches.get_one::<String>("cluster-id");
    match joined {
        Some(text) => text.parse().map_err(|reason| Failure::Usage(format!("--cluster-id: {reason}"))),
        None if settings.host.len() > 1 && !matches.get_flag("new-cluster") => Err(Failure::Usage(format!(
            "the member list has {} hosts: give --new-cluster on the first of them, and on the others --cluster-id with \
             the id that it prints",
            settings.host.len()
        ))),
        None => Ok(ClusterId::random()?),
    }
}

fn host(settings: &Settings) -> Result<u32, Failure> {
    u32::try_from(settings.host_id.0).map_err(|_| Failure::Unusable("host_id is out of bounds".to_owned()))
}

/// As many slices as cores are configured, or else as there are CPUs.
fn slices(settings: &Settings) -> Result<u16, Failure> {
    let cpus = || reactor::uring::cpus().len().max(1) as u64;
    let cores = settings.cores.map_or_else(cpus, |cores| cores.0).min(crate::config::limits::CORES_MAX);
    u16::try_from(cores).map_err(|_| Failure::Unusable("cores is out of bounds".to_owned()))
}

/// Makes the secret file of a new cluster, unless it is there already.
fn made_secret(settings: &Settings, founding: bool) -> Result<Option<String>, Failure> {
    let Some(path) = settings.cluster_secret_file.as_ref().filter(|path| founding && !path.exists()) else {
        return Ok(None);
    };
    datadir::create_secret(path)?;
    Ok(Some(path.display().to_string()))
}
