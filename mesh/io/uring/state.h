#pragma once
// The io_uring back end's data.

#include <liburing.h>

#include <array>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "mesh/io/backend.h"
#include "mesh/io/descriptor.h"

namespace mesh::io::internal {

// A ring of provided buffers, with a memory of its order: a bundle's completion names only its
// first buffer.
struct ProvidedRing {
  io_uring_buf_ring* ring = nullptr;
  unsigned mask = 0;
  unsigned tail = 0;
  std::size_t payload = 0;
  std::vector<std::uint16_t> order;     // by position: the id
  std::vector<std::uint32_t> position;  // by id: where it was provided last
};

// What the kernel had no room for yet. Kept in order, cancellations among them: an operation is
// named by its address, which another may take once it has ended.
struct Delayed {
  Operation* operation;
  Submission submission;
  bool cancel;
};

// A send that says nothing when all went well; see patience.h.
struct PatientSend {
  Operation* operation;  // null: it has answered
  const Patience* patience;
  std::size_t length;
};

struct Backend::State {
  explicit State(Ring::Impl& owner) noexcept : ring(owner) {}
  ~State();

  Result<Done> set_up(const RingOptions& options);
  io_uring_sqe* next_sqe() noexcept;
  void prepare(io_uring_sqe* sqe, const Submission& submission) noexcept;
  void prepare_receive_buffer(io_uring_sqe* sqe, const Submission& submission) noexcept;
  void start(const Delayed& wanted) noexcept;
  void start_delayed() noexcept;
  void wait() noexcept;
  bool may_sleep() const noexcept;
  void reap() noexcept;
  void answer(Operation& operation, const Completion& completion) noexcept;
  void answer_patient() noexcept;
  void arm_wake() noexcept;
  std::span<const std::uint16_t> filled_buffers(const io_uring_cqe& cqe, BufferClass kind) noexcept;

  Ring::Impl& ring;
  io_uring uring{};
  bool uring_open = false;
  unsigned in_flight = 0;
  std::thread::id thread = std::this_thread::get_id();
  Descriptor wake_event;
  std::uint64_t wake_count = 0;
  std::array<ProvidedRing, kBufferClasses> provided;
  std::vector<std::uint16_t> filled;
  std::vector<Delayed> delayed;
  bool wake_unarmed = false;
  std::vector<PatientSend> patient;
  std::size_t patient_entered = 0;  // of them, those that the kernel has worked on
  bool hurry = false;               // one of them was cancelled
  std::array<std::uint64_t, 32> random_words{};
  std::size_t random_left = 0;
};

// Of linux/in.h, since Linux 6.3: the ports that connect() takes one of.
inline constexpr int kLocalPortRange = 51;

// What was probed; see kernel_features.cc.
struct UringFeatures {
  bool receive_bundle = false;
  bool multishot_limit = false;
  bool no_iowait = false;
  bool port_range = false;
};
const UringFeatures& uring_features();

}  // namespace mesh::io::internal
