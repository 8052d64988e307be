//! A server that does what it is told with the connection itself: endless, slow, cut or malformed answers.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Listens on a free port until the test process ends; each connection carries one request.
pub struct Script {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Answers each request by `answer`: the head of the request and its body, and the connection to write to.
    pub fn start(answer: impl Fn(&str, &str, &mut TcpStream) -> Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Self { port, seen }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of all requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had this text in their head.
    pub fn count(&self, text: &str) -> usize {
        self.seen().iter().filter(|head| head.contains(text)).count()
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &dyn Fn(&str, &str, &mut TcpStream) -> Result<()>,
) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.lines().next().unwrap_or_default().trim().parse().unwrap_or(0));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    seen.lock().ok()?.push(head.clone());
    answer(&head, &String::from_utf8_lossy(&body), &mut stream).ok()
}

/// A whole answer, after which the connection ends.
pub fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// An answer of success whose body begins and never ends.
pub fn say_without_end(stream: &mut TcpStream, begin: &str) -> Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n{begin}")?;
    let block = [b'x'; 64 << 10];
    loop {
        stream.write_all(&block)?;
    }
}

/// Headers that never end.
pub fn say_headers_without_end(stream: &mut TcpStream) -> Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\n")?;
    for number in 0.. {
        write!(stream, "X-{number}: {}\r\n", "y".repeat(8000))?;
    }
    Ok(())
}

/// An answer of which one byte comes now and then, for ever.
pub fn say_slowly(stream: &mut TcpStream, begin: &str) -> Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{begin}")?;
    loop {
        stream.write_all(b"x")?;
        thread::sleep(Duration::from_millis(50));
    }
}
