//! `tollgate migrate`

use tollgate_settings::Mode;

use crate::{
    cli::MigrateArgs,
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) async fn run(args: &MigrateArgs, output: Output) -> Result<Exit, Failure> {
    let settings = super::settings(&args.settings, Vec::new())?;
    if settings.mode == Mode::Embedded {
        let what = "mode \"embedded\" has no database: its file is brought up to date when a node opens it";
        return Err(Failure::new(Exit::Settings, what, "set mode = \"cluster\" (TOLLGATE_MODE) and postgres.url"));
    }
    let url = settings.postgres.url.expose();
    let version = match args.down_to {
        None => tollgate_postgres::migrate(url).await?,
        Some(version) => tollgate_postgres::migrate_down(url, version.into()).await.map(|()| version.into())?,
    };
    if args.node_rights && !tollgate_postgres::give_node_rights(url).await? {
        output.note("the rights of tollgate_node stay as a later version has given them");
    }
    output.result(&serde_json::json!({ "version": version }), |_| format!("the database schema is at version {version}"))?;
    Ok(Exit::Done)
}
