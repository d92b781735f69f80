//! Three libraries behind one trait.

use std::future::Future;
use std::sync::Arc;

/// What a library has. Its functions are called inside tasks.
pub(crate) trait Kit: Sized + 'static {
    /// What the table calls it.
    const NAME: &'static str;
    type Lock: Send + Sync + 'static;
    type Semaphore: Send + Sync + 'static;
    type Event: Send + Sync + 'static;
    /// Either end of a queue.
    type Putter: Clone + Send + 'static;
    type Getter: Send + 'static;
    type Teller: Send + 'static;
    type Told: Future<Output = u64> + Send + 'static;
    type Sender: Send + 'static;
    type Receiver: Send + 'static;

    fn lock() -> Self::Lock;
    /// Adds one to what the lock protects.
    fn add(lock: &Self::Lock) -> impl Future<Output = ()> + Send;

    fn semaphore(permits: usize) -> Self::Semaphore;
    /// Holds a permit while `work` runs.
    fn hold<F>(semaphore: &Self::Semaphore, work: F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send;

    fn event() -> Self::Event;
    /// Waits until it is set; from the first poll on nothing is missed.
    fn wait(event: &Self::Event) -> impl Future<Output = ()> + Send;
    fn set(event: &Self::Event);

    /// A queue with room for so many, or for any number, and so many getters.
    fn queue(room: Option<usize>, getters: usize) -> Option<(Self::Putter, Vec<Self::Getter>)>;
    fn put(putter: &Self::Putter, item: u64) -> impl Future<Output = ()> + Send;
    fn get(getter: &mut Self::Getter) -> impl Future<Output = u64> + Send;

    fn oneshot() -> (Self::Teller, Self::Told);
    fn tell(teller: Self::Teller, value: u64);

    /// A broadcast channel with so many receivers.
    fn broadcast(room: usize, receivers: usize) -> Option<(Self::Sender, Vec<Self::Receiver>)>;
    fn send(sender: &Self::Sender, value: u64);
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = u64> + Send;
}

/// filch itself.
pub(crate) struct Filch;

impl Kit for Filch {
    const NAME: &'static str = "filch";
    type Lock = filch::sync::Lock<u64>;
    type Semaphore = filch::sync::Semaphore;
    type Event = filch::sync::Event;
    type Putter = Arc<filch::sync::Queue<u64>>;
    type Getter = Arc<filch::sync::Queue<u64>>;
    type Teller = filch::sync::oneshot::Sender<u64>;
    type Told = Fine<filch::sync::oneshot::Receiver<u64>>;
    type Sender = filch::sync::broadcast::Sender<u64>;
    type Receiver = filch::sync::broadcast::Receiver<u64>;

    fn lock() -> Self::Lock {
        filch::sync::Lock::new(0)
    }

    async fn add(lock: &Self::Lock) {
        *lock.lock().await += 1;
    }

    fn semaphore(permits: usize) -> Self::Semaphore {
        filch::sync::Semaphore::new(permits)
    }

    async fn hold<F: Future<Output = ()> + Send>(semaphore: &Self::Semaphore, work: F) {
        let _permit = semaphore.acquire().await;
        work.await;
    }

    fn event() -> Self::Event {
        filch::sync::Event::new()
    }

    async fn wait(event: &Self::Event) {
        event.wait().await;
    }

    fn set(event: &Self::Event) {
        event.set();
    }

    fn queue(room: Option<usize>, getters: usize) -> Option<(Self::Putter, Vec<Self::Getter>)> {
        use filch::sync::Queue;
        let queue = Arc::new(room.map_or_else(Queue::unbounded, Queue::bounded));
        Some((queue.clone(), vec![queue; getters]))
    }

    async fn put(putter: &Self::Putter, item: u64) {
        putter.put(item).await.unwrap();
    }

    async fn get(getter: &mut Self::Getter) -> u64 {
        getter.get().await.unwrap()
    }

    fn oneshot() -> (Self::Teller, Self::Told) {
        let (sender, receiver) = filch::sync::oneshot::channel();
        (sender, Fine(receiver))
    }

    fn tell(teller: Self::Teller, value: u64) {
        teller.send(value).unwrap();
    }

    fn broadcast(room: usize, receivers: usize) -> Option<(Self::Sender, Vec<Self::Receiver>)> {
        let (sender, _) = filch::sync::broadcast::channel(room);
        let receivers = (0..receivers).map(|_| sender.subscribe()).collect();
        Some((sender, receivers))
    }

    fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).unwrap();
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.unwrap()
    }
}

/// `tokio::sync`.
pub(crate) struct Tokio;

impl Kit for Tokio {
    const NAME: &'static str = "tokio::sync";
    type Lock = tokio::sync::Mutex<u64>;
    type Semaphore = tokio::sync::Semaphore;
    type Event = tokio::sync::Notify;
    type Putter = TokioPutter;
    type Getter = TokioGetter;
    type Teller = tokio::sync::oneshot::Sender<u64>;
    type Told = Fine<tokio::sync::oneshot::Receiver<u64>>;
    type Sender = tokio::sync::broadcast::Sender<u64>;
    type Receiver = tokio::sync::broadcast::Receiver<u64>;

    fn lock() -> Self::Lock {
        tokio::sync::Mutex::new(0)
    }

    async fn add(lock: &Self::Lock) {
        *lock.lock().await += 1;
    }

    fn semaphore(permits: usize) -> Self::Semaphore {
        tokio::sync::Semaphore::new(permits)
    }

    async fn hold<F: Future<Output = ()> + Send>(semaphore: &Self::Semaphore, work: F) {
        let _permit = semaphore.acquire().await.unwrap();
        work.await;
    }

    fn event() -> Self::Event {
        tokio::sync::Notify::new()
    }

    async fn wait(event: &Self::Event) {
        event.notified().await;
    }

    fn set(event: &Self::Event) {
        event.notify_waiters();
    }

    fn queue(room: Option<usize>, getters: usize) -> Option<(Self::Putter, Vec<Self::Getter>)> {
        // One receiver is all there is.
        let (putter, getter) = match room {
            _ if getters > 1 => return None,
            Some(room) => {
                let (sender, receiver) = tokio::sync::mpsc::channel(room);
                (TokioPutter::Bounded(sender), TokioGetter::Bounded(receiver))
            }
            None => {
                let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
                (TokioPutter::Unbounded(sender), TokioGetter::Unbounded(receiver))
            }
        };
        Some((putter, vec![getter]))
    }

    async fn put(putter: &Self::Putter, item: u64) {
        match putter {
            TokioPutter::Bounded(sender) => sender.send(item).await.unwrap(),
            TokioPutter::Unbounded(sender) => sender.send(item).unwrap(),
        }
    }

    async fn get(getter: &mut Self::Getter) -> u64 {
        match getter {
            TokioGetter::Bounded(receiver) => receiver.recv().await.unwrap(),
            TokioGetter::Unbounded(receiver) => receiver.recv().await.unwrap(),
        }
    }

    fn oneshot() -> (Self::Teller, Self::Told) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (sender, Fine(receiver))
    }

    fn tell(teller: Self::Teller, value: u64) {
        teller.send(value).unwrap();
    }

    fn broadcast(room: usize, receivers: usize) -> Option<(Self::Sender, Vec<Self::Receiver>)> {
        let (sender, _) = tokio::sync::broadcast::channel(room);
        let receivers = (0..receivers).map(|_| sender.subscribe()).collect();
        Some((sender, receivers))
    }

    fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).unwrap();
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.unwrap()
    }
}

#[derive(Clone)]
pub(crate) enum TokioPutter {
    Bounded(tokio::sync::mpsc::Sender<u64>),
    Unbounded(tokio::sync::mpsc::UnboundedSender<u64>),
}

pub(crate) enum TokioGetter {
    Bounded(tokio::sync::mpsc::Receiver<u64>),
    Unbounded(tokio::sync::mpsc::UnboundedReceiver<u64>),
}

/// async-lock, async-channel and event-listener; the oneshot channel is that of `futures`.
pub(crate) struct Async;

impl Kit for Async {
    const NAME: &'static str = "async-*";
    type Lock = smol::lock::Mutex<u64>;
    type Semaphore = smol::lock::Semaphore;
    type Event = event_listener::Event;
    type Putter = smol::channel::Sender<u64>;
    type Getter = smol::channel::Receiver<u64>;
    type Teller = futures::channel::oneshot::Sender<u64>;
    type Told = Fine<futures::channel::oneshot::Receiver<u64>>;
    type Sender = ();
    type Receiver = ();

    fn lock() -> Self::Lock {
        smol::lock::Mutex::new(0)
    }

    async fn add(lock: &Self::Lock) {
        *lock.lock().await += 1;
    }

    fn semaphore(permits: usize) -> Self::Semaphore {
        smol::lock::Semaphore::new(permits)
    }

    async fn hold<F: Future<Output = ()> + Send>(semaphore: &Self::Semaphore, work: F) {
        let _permit = semaphore.acquire().await;
        work.await;
    }

    fn event() -> Self::Event {
        event_listener::Event::new()
    }

    async fn wait(event: &Self::Event) {
        event.listen().await;
    }

    fn set(event: &Self::Event) {
        event.notify(usize::MAX);
    }

    fn queue(room: Option<usize>, getters: usize) -> Option<(Self::Putter, Vec<Self::Getter>)> {
        let (sender, receiver) = room.map_or_else(smol::channel::unbounded, smol::channel::bounded);
        Some((sender, vec![receiver; getters]))
    }

    async fn put(putter: &Self::Putter, item: u64) {
        putter.send(item).await.unwrap();
    }

    async fn get(getter: &mut Self::Getter) -> u64 {
        getter.recv().await.unwrap()
    }

    fn oneshot() -> (Self::Teller, Self::Told) {
        let (sender, receiver) = futures::channel::oneshot::channel();
        (sender, Fine(receiver))
    }

    fn tell(teller: Self::Teller, value: u64) {
        teller.send(value).unwrap();
    }

    fn broadcast(_room: usize, _receivers: usize) -> Option<(Self::Sender, Vec<Self::Receiver>)> {
        None
    }

    fn send(_sender: &Self::Sender, _value: u64) {
        unreachable!("there is no broadcast channel")
    }

    async fn receive(_receiver: &mut Self::Receiver) -> u64 {
        unreachable!("there is no broadcast channel")
    }
}

pin_project_lite::pin_project! {
    /// A future whose `Ok` is its output.
    pub(crate) struct Fine<F> {
        #[pin]
        inner: F,
    }
}

/// Wraps a receiver.
#[allow(non_snake_case)]
fn Fine<F>(inner: F) -> Fine<F> {
    Fine { inner }
}

impl<F, T, X> Future for Fine<F>
where
    F: Future<Output = Result<T, X>>,
    X: std::fmt::Debug,
{
    type Output = T;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        self.project().inner.poll(context).map(Result::unwrap)
    }
}
