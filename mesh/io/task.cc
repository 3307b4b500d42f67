#include "mesh/io/task.h"

#include <array>
#include <cstdlib>
#include <new>

namespace mesh::io::internal {
namespace {

// Freed frames are kept by size, in steps of 64 bytes up to 2 KiB, at most kKept of a size: enough
// for the connections that come and go within a turn, and at most 2 MiB a thread.
constexpr std::size_t kStep = 64;
constexpr std::size_t kSizes = 32;
constexpr unsigned kKept = 64;

struct FreeFrame {
  FreeFrame* next;
};

struct FrameCache {
  struct Bin {
    FreeFrame* first = nullptr;
    unsigned count = 0;
  };
  std::array<Bin, kSizes> bins;
  bool closed = false;

  ~FrameCache() {
    closed = true;  // frames of other thread-locals may still come
    for (Bin& bin : bins) {
      while (bin.first != nullptr) ::operator delete(std::exchange(bin.first, bin.first->next));
    }
  }
};

thread_local FrameCache cache;

std::size_t bin_of(std::size_t bytes) { return (bytes - 1) / kStep; }

// Not under a sanitizer, which sees a use after free only of what was really freed.
#if __has_feature(address_sanitizer)
constexpr bool kCached = false;
#else
constexpr bool kCached = true;
#endif

}  // namespace

void* allocate_frame(std::size_t bytes) {
  if (bytes > largest_frame_bytes) largest_frame_bytes = bytes;
  const std::size_t bin_index = bin_of(bytes);
  if (!kCached || bin_index >= kSizes) return ::operator new(bytes);
  FrameCache::Bin& bin = cache.bins[bin_index];
  if (bin.first == nullptr) return ::operator new((bin_index + 1) * kStep);
  --bin.count;
  return std::exchange(bin.first, bin.first->next);
}

void release_frame(void* frame, std::size_t bytes) noexcept {
  const std::size_t bin_index = bin_of(bytes);
  if (kCached && bin_index < kSizes && !cache.closed && cache.bins[bin_index].count < kKept) {
    FrameCache::Bin& bin = cache.bins[bin_index];
    bin.first = new (frame) FreeFrame{bin.first};
    ++bin.count;
    return;
  }
  ::operator delete(frame);
}

}  // namespace mesh::io::internal
