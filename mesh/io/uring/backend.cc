// The event loop over io_uring: one thread submits, completions are worked on when we ask.

#include "mesh/io/backend.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "mesh/io/ring_impl.h"
#include "mesh/io/uring/datagram.h"
#include "mesh/io/uring/state.h"

namespace mesh::io::internal {
namespace {

// user_data values that are no Operation.
constexpr std::uint64_t kIgnored = 0;
constexpr std::uint64_t kWake = 1;

// In Operation::token_: a place in State::patient.
constexpr std::uint64_t kPatient = std::uint64_t{1} << 32;

Duration clock(clockid_t id) noexcept {
  timespec time{};
  clock_gettime(id, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Backend::Backend(std::unique_ptr<State> state) : state_(std::move(state)) {}
Backend::~Backend() = default;

Result<std::unique_ptr<Backend>> Backend::create(Ring::Impl& ring, const RingOptions& options) {
  auto state = std::make_unique<State>(ring);
  TRY_DO(state->set_up(options));
  return std::unique_ptr<Backend>(new Backend(std::move(state)));
}

Result<Done> Backend::State::set_up(const RingOptions& options) {
  io_uring_params params{};
  // One thread submits, and completions wait until we ask: no interrupts into running code.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SUBMIT_ALL;
  params.cq_entries = options.entries * 4;
  const int status = io_uring_queue_init_params(options.entries, &uring, &params);
  if (status < 0) return failed_with_errno(-status, "io_uring_setup");
  uring_open = true;
  io_uring_register_ring_fd(&uring);  // saves a lookup per entry; no harm when refused
  if (uring_features().no_iowait) io_uring_set_iowait(&uring, false);

  wake_event = Descriptor(eventfd(0, EFD_CLOEXEC));
  if (!wake_event) return failed_with_errno(errno, "eventfd");
  arm_wake();
  return Done{};
}

Backend::State::~State() {
  if (!uring_open) return;
  for (std::size_t kind = 0; kind < provided.size(); ++kind) {
    ProvidedRing& pool = provided[kind];
    if (pool.ring == nullptr) continue;
    io_uring_free_buf_ring(&uring, pool.ring, pool.mask + 1, static_cast<int>(kind));
  }
  io_uring_queue_exit(&uring);
}

void Backend::drive() noexcept {
  State& state = *state_;
  state.ring.now = now();
  while (!state.ring.finished()) {
    state.ring.turn();
    if (state.ring.finished()) break;
    state.start_delayed();
    state.wait();
    state.ring.now = now();
    state.reap();
    state.answer_patient();
  }
}

// Nobody who has to hear of a send would do anything now.
bool Backend::State::may_sleep() const noexcept {
  if (ring.has_work() || !delayed.empty() || wake_unarmed) return false;
  if (patient.empty()) return true;
  if (hurry || !ring.running) return false;
  // Who waits for a buffer may get one of those that are being sent.
  for (const BufferPool& pool : ring.pools) {
    if (pool.has_waiters()) return false;
  }
  return std::ranges::none_of(patient, [](const PatientSend& send) {
    return send.operation != nullptr && send.patience->has_more_to_do();
  });
}

void Backend::State::wait() noexcept {
  int status = 0;
  if (!may_sleep()) {
    status = io_uring_submit_and_get_events(&uring);
  } else if (ring.timers.empty()) {
    status = io_uring_submit_and_wait(&uring, 1);
  } else {
    const Duration left = ring.timers.next().time_since_epoch() - clock(CLOCK_MONOTONIC);
    if (left <= Duration::zero()) {
      status = io_uring_submit_and_get_events(&uring);
    } else {
      __kernel_timespec limit{.tv_sec = left.count() / 1'000'000'000,
                              .tv_nsec = left.count() % 1'000'000'000};
      io_uring_cqe* first = nullptr;
      status = io_uring_submit_and_wait_timeout(&uring, &first, 1, &limit, nullptr);
    }
  }
  // ETIME: a timer is due. EINTR: a signal. EBUSY, EAGAIN: the kernel wants us to reap first.
  MESH_CHECK(status >= 0 || status == -ETIME || status == -EINTR || status == -EBUSY ||
             status == -EAGAIN);
  // What was taken from the queue has been tried, and what did not succeed has its answer there.
  patient_entered = io_uring_sq_ready(&uring) == 0 ? patient.size() : 0;
}

void Backend::State::reap() noexcept {
  // A completion may resume code that submits more. Look at no more than what is ready now, so
  // that one busy connection cannot hold the loop.
  unsigned ready = io_uring_cq_ready(&uring);
  for (io_uring_cqe* next = nullptr; ready > 0 && io_uring_peek_cqe(&uring, &next) == 0; --ready) {
    const io_uring_cqe cqe = *next;
    io_uring_cqe_seen(&uring, next);
    if (cqe.user_data == kIgnored) continue;
    if (cqe.user_data == kWake) {
      arm_wake();
      continue;
    }
    auto* operation = reinterpret_cast<Operation*>(cqe.user_data);
    Completion completion{.result = cqe.res,
                          .more = (cqe.flags & IORING_CQE_F_MORE) != 0,
                          .pending = (cqe.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0,
                          .buffers = {}};
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
      completion.buffers = filled_buffers(cqe, static_cast<BufferClass>(operation->token_));
    }
    if ((operation->token_ & kPatient) != 0) {
      patient[operation->token_ & ~kPatient].operation = nullptr;
    }
    answer(*operation, completion);
  }
}

void Backend::State::answer(Operation& operation, const Completion& completion) noexcept {
  if (!completion.more) {
    operation.in_flight_ = false;
    --in_flight;
  }
  operation.on_completion(completion);
}

// Those that have said nothing have succeeded. Whoever is told may send again, to be told later.
void Backend::State::answer_patient() noexcept {
  const std::size_t count = std::exchange(patient_entered, 0);
  if (count == 0) return;
  hurry = false;
  for (std::size_t i = 0; i < count; ++i) {
    Operation* const operation = std::exchange(patient[i].operation, nullptr);
    if (operation == nullptr) continue;
    answer(*operation, {.result = static_cast<int>(patient[i].length), .buffers = {}});
  }
  patient.erase(patient.begin(), patient.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < patient.size(); ++i) {
    if (patient[i].operation != nullptr) patient[i].operation->token_ = kPatient | i;
  }
}

void Backend::submit(Operation& operation, const Submission& submission) noexcept {
  MESH_CHECK(!operation.in_flight_);
  operation.in_flight_ = true;
  operation.token_ = static_cast<std::uint64_t>(submission.buffers);
  ++state_->in_flight;
  state_->start({&operation, submission, false});
}

void Backend::State::start(const Delayed& wanted) noexcept {
  io_uring_sqe* sqe = delayed.empty() ? next_sqe() : nullptr;
  if (sqe == nullptr) {
    delayed.push_back(wanted);
    return;
  }
  const auto name = reinterpret_cast<std::uint64_t>(wanted.operation);
  if (wanted.cancel) {
    io_uring_prep_cancel64(sqe, name, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = kIgnored;
  } else {
    prepare(sqe, wanted.submission);
    sqe->user_data = name;
    if (wanted.submission.patience != nullptr) {
      sqe->msg_flags |= MSG_DONTWAIT;
      sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
      wanted.operation->token_ = kPatient | patient.size();
      patient.push_back({wanted.operation, wanted.submission.patience, wanted.submission.length});
    }
  }
}

// The submission queue is full only when the kernel refuses to take more until we have reaped.
io_uring_sqe* Backend::State::next_sqe() noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(&uring);
  if (sqe != nullptr) return sqe;
  io_uring_submit(&uring);
  return io_uring_get_sqe(&uring);
}

void Backend::State::start_delayed() noexcept {
  if (wake_unarmed) arm_wake();
  if (delayed.empty()) return;
  hurry = true;  // there may be cancellations among them
  for (const Delayed& wanted : std::exchange(delayed, {})) start(wanted);
}

void Backend::State::prepare(io_uring_sqe* sqe, const Submission& submission) noexcept {
  const int fd = submission.handle;
  switch (submission.opcode) {
    case Opcode::kAccept:
      io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case Opcode::kConnect:
      io_uring_prep_connect(sqe, fd, static_cast<const sockaddr*>(submission.memory),
                            static_cast<socklen_t>(submission.length));
      break;
    case Opcode::kReceive:
      io_uring_prep_recv(sqe, fd, submission.memory, submission.length, 0);
      break;
    case Opcode::kReceiveBuffer:
      prepare_receive_buffer(sqe, submission);
      break;
    case Opcode::kSend:
      io_uring_prep_send(sqe, fd, submission.memory, submission.length, MSG_NOSIGNAL | MSG_WAITALL);
      break;
    case Opcode::kSendGather:
      io_uring_prep_sendmsg(sqe, fd, static_cast<const msghdr*>(submission.memory),
                            MSG_NOSIGNAL | MSG_WAITALL);
      break;
    case Opcode::kReceiveFrom:
      io_uring_prep_recvmsg(sqe, fd,
                            prepare_receive_from(*static_cast<DatagramIo*>(submission.memory)), 0);
      break;
    case Opcode::kSendTo:
      io_uring_prep_sendmsg(
          sqe, fd, prepare_send_to(fd, *static_cast<DatagramIo*>(submission.memory)), MSG_NOSIGNAL);
      break;
    case Opcode::kPoll:
      io_uring_prep_poll_add(sqe, fd, submission.flags);
      break;
  }
}

void Backend::State::prepare_receive_buffer(io_uring_sqe* sqe,
                                            const Submission& submission) noexcept {
  const UringFeatures& features = uring_features();
  const bool bulk = submission.at_once > 0;
  if (features.multishot_limit) {
    // A receive that is not multishot would be repeated once for all that has come meanwhile.
    io_uring_prep_recv_multishot(sqe, submission.handle, nullptr, submission.at_once, 0);
    sqe->optlen = static_cast<unsigned>(submission.length);
  } else if (bulk) {
    io_uring_prep_recv(sqe, submission.handle, nullptr, submission.at_once, 0);
  } else {
    io_uring_prep_recv_multishot(sqe, submission.handle, nullptr, 0, 0);
  }
  if (bulk && features.receive_bundle) sqe->ioprio |= IORING_RECVSEND_BUNDLE;
  if (submission.expect_wait) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = static_cast<std::uint16_t>(submission.buffers);
}

void Backend::cancel(Operation& operation) noexcept {
  if (!operation.in_flight_) return;
  if ((operation.token_ & kPatient) != 0) {
    state_->hurry = true;  // it waits for nothing
    return;
  }
  state_->start({&operation, {.opcode = Opcode::kPoll}, true});
}

unsigned Backend::in_flight() const noexcept { return state_->in_flight; }

Result<Done> Backend::open_pool(BufferClass kind, unsigned count_max) noexcept {
  ProvidedRing& pool = state_->provided[static_cast<std::size_t>(kind)];
  // Twice the buffers, so that the place of a buffer that was filled is not reused before its
  // completion was seen.
  unsigned entries = 8;
  while (entries < count_max * 2) entries *= 2;
  int status = 0;
  pool.ring = io_uring_setup_buf_ring(&state_->uring, entries, static_cast<int>(kind), 0, &status);
  if (pool.ring == nullptr) return failed_with_errno(-status, "register buffer ring");
  pool.mask = entries - 1;
  pool.payload = kind == BufferClass::kRelay ? kRelayBytes : kWireBytes;
  pool.order.resize(entries);
  pool.position.resize(count_max);
  return Done{};
}

void Backend::provide(BufferClass kind, std::uint16_t id, std::byte* memory,
                      std::size_t length) noexcept {
  ProvidedRing& pool = state_->provided[static_cast<std::size_t>(kind)];
  io_uring_buf_ring_add(pool.ring, memory, static_cast<unsigned>(length), id,
                        static_cast<int>(pool.mask), 0);
  io_uring_buf_ring_advance(pool.ring, 1);
  pool.order[pool.tail & pool.mask] = id;
  pool.position[id] = pool.tail;
  ++pool.tail;
}

std::span<const std::uint16_t> Backend::State::filled_buffers(const io_uring_cqe& cqe,
                                                              BufferClass kind) noexcept {
  const ProvidedRing& pool = provided[static_cast<std::size_t>(kind)];
  const auto first = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
  filled.assign(1, first);
  for (std::size_t covered = pool.payload; cqe.res > 0 && covered < static_cast<unsigned>(cqe.res);
       covered += pool.payload) {
    const std::uint32_t next = pool.position[first] + static_cast<std::uint32_t>(filled.size());
    filled.push_back(pool.order[next & pool.mask]);
  }
  return filled;
}

void Backend::State::arm_wake() noexcept {
  io_uring_sqe* sqe = next_sqe();
  wake_unarmed = sqe == nullptr;
  if (wake_unarmed) return;
  io_uring_prep_read(sqe, wake_event.get(), &wake_count, sizeof wake_count, 0);
  sqe->user_data = kWake;
}

void Backend::wake() noexcept {
  if (std::this_thread::get_id() == state_->thread) return;  // it looks before it waits
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(state_->wake_event.get(), &one, sizeof one);
}

TimePoint Backend::now() const noexcept { return TimePoint(clock(CLOCK_MONOTONIC)); }
WallTime Backend::wall_now() const noexcept { return WallTime(clock(CLOCK_REALTIME)); }

std::uint64_t Backend::random() noexcept {
  State& state = *state_;
  if (state.random_left == 0) {
    const std::size_t bytes = sizeof state.random_words;
    MESH_CHECK(getrandom(state.random_words.data(), bytes, 0) == static_cast<ssize_t>(bytes));
    state.random_left = state.random_words.size();
  }
  return std::exchange(state.random_words[--state.random_left], 0);
}

}  // namespace mesh::io::internal
