//! Power cuts: the disk is an ext4 file system in a file; what has reached the file when it is copied is what a power cut leaves.
//!
//! Mounts and loop devices belong to a mount namespace of this program's own, and its processes to a process namespace: both end with it,
//! however it ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::truth::Truth;
use super::writer::acknowledged;
use super::{Dice, Plant, retention};
use crate::enclose::tool;

/// Power cuts of one file system, before a new one is made.
const CUTS_PER_DISK: u64 = 20;
/// Bytes of the file system.
const DISK_BYTES: u64 = 96 << 20;
/// The writer has acknowledged something after so long, or does not work.
const PATIENCE: Duration = Duration::from_secs(60);
/// And it then goes on for at most so long.
const LIFE_MAX: Duration = Duration::from_millis(400);

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sum {
    /// Power cuts.
    pub cuts: u64,
    /// Blocks acknowledged before them.
    pub acknowledged: u64,
}

/// Why power cuts cannot be tried here.
#[derive(Debug)]
pub enum Stop {
    /// This machine does not allow it.
    Impossible(String),
    /// Something was lost.
    Lost(String),
}

/// A mounted file system; unmounted when dropped, which frees its loop device.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        // Left alone, ext4 writes everything out every five seconds; a power cut must not be saved by that.
        tool!("mount", "-o", "loop,commit=60", image, at)?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = tool!("umount", &self.0) {
            // The namespace's end unmounts it.
            drop(error);
        }
    }
}

/// Ends its process when dropped.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a file system in a file can be mounted here.
///
/// # Errors
/// Why not.
pub fn possible(room: &Path) -> Result<(), String> {
    let image = room.join("probe.img");
    make_disk(&image)?;
    let mounted = Mount::new(&image, &room.join("probe"));
    drop(mounted?);
    std::fs::remove_file(&image).map_err(|error| error.to_string())
}

fn make_disk(image: &Path) -> Result<(), String> {
    let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
    file.set_len(DISK_BYTES).map_err(|error| error.to_string())?;
    tool!("mkfs.ext4", "-q", "-F", image).map(drop)
}

/// Cuts the power of writers.
///
/// # Errors
/// [`Stop`].
pub fn run(room: &Path, times: u64, seed: u64, plant: Plant) -> Result<Sum, Stop> {
    possible(room).map_err(Stop::Impossible)?;
    let mut dice = Dice(seed);
    let mut sum = Sum::default();
    let mut disk = 0;
    while sum.cuts < times {
        let image = room.join(format!("disk-{disk}.img"));
        make_disk(&image).map_err(Stop::Impossible)?;
        let mount = Mount::new(&image, &room.join("disk")).map_err(Stop::Impossible)?;
        let mut state =
            Disk { room, image: &image, mount: &mount, disk, truth: Truth::new(), head: 0 };
        for _ in 0..CUTS_PER_DISK.min(times - sum.cuts) {
            let cut = state.cut(&mut dice, plant);
            sum.cuts += 1;
            let what =
                format!("power cut {} (seed {seed}, retention {})", sum.cuts, retention(disk));
            sum.acknowledged += cut.map_err(|reason| Stop::Lost(format!("{what}: {reason}")))?;
        }
        drop(mount);
        drop(std::fs::remove_file(&image));
        disk += 1;
    }
    Ok(sum)
}

struct Disk<'a> {
    room: &'a Path,
    image: &'a Path,
    mount: &'a Mount,
    disk: u64,
    truth: Truth,
    /// The last block that the disk held when the last cut's writer had ended.
    head: u64,
}

impl Disk<'_> {
    /// Lets a writer write for a while, stops it, copies the disk, and judges the copy. How many blocks were acknowledged.
    fn cut(&mut self, dice: &mut Dice, plant: Plant) -> Result<u64, String> {
        let (home, acks) =
            (self.mount.0.join("home"), self.room.join(format!("acks-{}", self.disk)));
        let retention = retention(self.disk);
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let writer = Command::new(program)
            .args(["write", "--plant", &plant.to_string()])
            .args(["--retention", &retention.to_string()])
            .arg(&home)
            .arg(&acks)
            .stdin(Stdio::null())
            .spawn();
        let mut writer = Writer(writer.map_err(|error| error.to_string())?);
        let began = Instant::now();
        while acknowledged(&acks) <= self.head {
            let ended = writer.0.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("the writer ended by itself: {status}"));
            }
            if began.elapsed() > PATIENCE {
                return Err("the writer acknowledges nothing".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(LIFE_MAX * u32::try_from(dice.below(1_000)).unwrap_or(0) / 1_000);
        let pid = writer.0.id().to_string();
        // Stopped, it can neither write nor acknowledge while the disk is copied.
        tool!("sh", "-c", "kill -STOP \"$0\"", &pid)?;
        wait_until_stopped(&pid)?;
        let last = acknowledged(&acks);
        let copy = self.room.join("cut.img");
        tool!("cp", "--sparse=always", self.image, &copy)?;
        drop(writer);
        let judged = {
            let mount = Mount::new(&copy, &self.room.join("cut"))?;
            self.truth.judge(&mount.0.join("home"), retention, (self.head, last))
        };
        let done = last - self.head;
        judged?;
        // The disk itself goes on as after a kill, so what it holds may be one block more.
        self.head = self.truth.judge(&home, retention, (self.head, last))?;
        Ok(done)
    }
}

/// A signal is delivered when the process has left its system call.
fn wait_until_stopped(pid: &str) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output();
        let output = output.map_err(|error| format!("ps: {error}"))?;
        let states = String::from_utf8_lossy(&output.stdout).into_owned();
        if states.trim_start().starts_with('T') {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the writer does not stop: {states}"));
        }
    }
}
