//! The load itself: threads, their connections, and one tally of all.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, sync::mpsc};

use super::{
    connection::Connection,
    mix::Dice,
    pace::{Pace, Period, Timetable, Turn},
    report::{Report, Told},
    requests::{Requests, Target},
    tally::{NoAnswer, Tally},
};
use crate::{exit::Failure, signals::Signals};

/// How often it is told how far the load is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// From a connection that cannot be made, or does not hold, to the next attempt. It is no part of how long anything took.
const PAUSE: Duration = Duration::from_millis(10);

/// What to load, and how.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) requests: Requests,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// Requests a second of an open loop; none for a closed one.
    pub(crate) rate: Option<u32>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// What one thread works with.
struct Worker {
    address: SocketAddr,
    timeout: Duration,
    connections: u32,
    requests: Arc<Requests>,
    pace: Pace,
    /// Answers of all threads so far.
    answered: Arc<AtomicU64>,
    /// One for all connections of the thread: a histogram takes some hundred kilobytes.
    tally: Arc<Mutex<Tally>>,
    number: u32,
}

/// Loads the target to the end, or until told to stop; told so twice, it waits for no answer any more, and tells of those that
/// came.
pub(crate) async fn run(load: Load, signals: &mut Signals, mut tell: impl FnMut(Told)) -> Result<Report, Failure> {
    let address = resolve(&load.target, load.timeout).await?;
    let period = Arc::new(Period::beginning(Instant::now(), load.warm_up, load.duration));
    let timetable = load.rate.map(|rate| Arc::new(Timetable::new(Arc::clone(&period), rate)));
    let pace = timetable.as_ref().map_or_else(|| Pace::Closed(Arc::clone(&period)), |timetable| Pace::Open(Arc::clone(timetable)));
    let (requests, answered) = (Arc::new(load.requests), Arc::new(AtomicU64::new(0)));
    let (sender, mut ended) = mpsc::unbounded_channel();
    let mut tallies = Vec::new();
    let cpu = tollgate_telemetry::process_cpu();
    for number in 0..load.threads.min(load.connections) {
        let connections = share(load.connections, load.threads, number);
        let (requests, pace, answered) = (Arc::clone(&requests), pace.clone(), Arc::clone(&answered));
        let tally = Arc::new(Mutex::new(Tally::new().ok_or_else(lost)?));
        tallies.push(Arc::clone(&tally));
        let worker = Worker { address, timeout: load.timeout, connections, requests, pace, answered, tally, number };
        let sender = sender.clone();
        spawn("load", move || sender.send(worker.work()).unwrap_or_default())?;
    }
    drop(sender);
    if let Some(timetable) = timetable {
        let waiting = load.connections as usize;
        spawn("pace", move || timetable.keep(waiting))?;
    }
    let (mut ticks, mut stopped) = (tokio::time::interval(TOLD_EVERY), false);
    loop {
        tokio::select! {
            worked = ended.recv() => match worked {
                Some(worked) => worked.ok_or_else(lost)?,
                None => break,
            },
            _ = ticks.tick() => tell(Told { elapsed: period.start.elapsed(), answered: answered.load(Relaxed) }),
            () = signals.next() => {
                if stopped {
                    break;
                }
                stopped = true;
                period.stop();
            }
        }
    }
    let mut all = Tally::new().ok_or_else(lost)?;
    for tally in &tallies {
        all.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
    let measured = period.ends().saturating_duration_since(period.counts_from);
    let cpu = cpu.zip(tollgate_telemetry::process_cpu()).map(|(before, after)| after.saturating_sub(before));
    Ok(Report { interrupted: stopped, ..Report::of(&all, measured, cpu.map(|cpu| (cpu, answered.load(Relaxed)))) })
}

/// Connections of one thread of several.
fn share(connections: u32, threads: u32, number: u32) -> u32 {
    connections / threads + u32::from(number < connections % threads)
}

fn lost() -> Failure {
    Failure::other("a thread of the load tool came to nothing", "see the system's limits, or give fewer --threads")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| Failure::other(format!("the system gives no thread: {error}"), "see the system's limits"))
}

/// The first address that takes connections; the first of all where none does.
async fn resolve(target: &Target, timeout: Duration) -> Result<SocketAddr, Failure> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host(target.address()).await.map(Iterator::collect).unwrap_or_default();
    for address in &found {
        if matches!(tokio::time::timeout(timeout, TcpStream::connect(address)).await, Ok(Ok(_))) {
            return Ok(*address);
        }
    }
    found.first().copied().ok_or_else(|| {
        let what = format!("nobody knows the name of {target}");
        Failure::new(crate::exit::Exit::Unreachable, what, "check the target, or --url")
    })
}

impl Worker {
    /// Works to the end on this thread; none where the system gives it nothing to work with.
    fn work(self) -> Option<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let connections: Vec<_> = (0..self.connections).map(|place| tokio::spawn(self.lane(place).run())).collect();
            for connection in connections {
                connection.await.ok()?;
            }
            Some(())
        })
    }

    fn lane(&self, place: u32) -> Lane {
        let Self { address, timeout, requests, pace, answered, tally, number, .. } = self;
        Lane {
            connection: Connection::to(*address, *timeout),
            requests: Arc::clone(requests),
            pace: pace.clone(),
            answered: Arc::clone(answered),
            dice: Dice::new(u64::from(*number) << 32 | u64::from(place)),
            tally: Arc::clone(tally),
        }
    }
}

/// One connection of the load.
struct Lane {
    connection: Connection,
    requests: Arc<Requests>,
    pace: Pace,
    answered: Arc<AtomicU64>,
    dice: Dice,
    tally: Arc<Mutex<Tally>>,
}

impl Lane {
    async fn run(mut self) {
        loop {
            match self.pace.next().await {
                Turn::Over => return,
                Turn::Late { due } => self.note(due, |tally| tally.failed(NoAnswer::Unsent, due.elapsed())),
                Turn::Send { due } => {
                    let sent = Instant::now();
                    let asked = self.connection.ask(self.requests.next(&mut self.dice)).await;
                    let (since_due, since_sent) = (due.elapsed(), sent.elapsed());
                    self.answered.fetch_add(u64::from(asked.is_ok()), Relaxed);
                    self.note(due, |tally| match asked {
                        Ok(status) => tally.answered(status, since_due, since_sent),
                        Err(why) => tally.failed(why, since_due),
                    });
                    if matches!(asked, Err(NoAnswer::Unconnected | NoAnswer::Broken)) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// Of what was due before the measurement nothing is noted.
    fn note(&self, due: Instant, note: impl FnOnce(&mut Tally)) {
        if due >= self.pace.period().counts_from {
            note(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::Command,
    };

    use super::{
        super::mix::{CostMix, Share, Skew},
        *,
    };

    /// Answers the first request of each connection, and no other.
    fn once_each() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    let mut is_first = true;
                    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                        if std::mem::take(&mut is_first) {
                            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
                        }
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr) -> Load {
        let target = Target::parse(&format!("http://{address}/")).expect("a target");
        let shares = (&CostMix::parse("1").expect("a mix"), Skew::parse("0").expect("none"), Share::parse("0").expect("none"));
        let requests = Requests::new(&target, &[], &[], shares).expect("requests");
        let (connections, threads, rate, warm_up) = (2, 2, None, Duration::ZERO);
        Load { target, requests, connections, threads, rate, warm_up, duration: Duration::from_mins(1), timeout: Duration::from_mins(1) }
    }

    #[tokio::test]
    async fn whoever_is_told_to_stop_twice_tells_what_came_of_all_threads_before() {
        let mut signals = Signals::listen().expect("signals");
        let mut names = ["TERM", "INT"].into_iter();
        let stop = |told: Told| {
            if told.answered >= 2
                && let Some(name) = names.next()
            {
                Command::new("kill").args(["-s", name, &std::process::id().to_string()]).status().expect("kill runs");
            }
        };
        let report = run(load(once_each()), &mut signals, stop).await.expect("a report");
        assert!(report.interrupted);
        assert_eq!((report.requests, report.answered), (2, 2), "{report:?}");
    }

    #[test]
    fn connections_are_shared_out() {
        let shares = |connections, threads| (0..threads).map(|number| share(connections, threads, number)).collect::<Vec<_>>();
        assert_eq!(shares(7, 3), [3, 2, 2]);
        assert_eq!(shares(4, 4), [1; 4]);
    }
}
