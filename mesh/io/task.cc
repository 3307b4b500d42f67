#include "mesh/io/task.h"

#include <array>
#include <cstdlib>
#include <new>

namespace mesh::io::internal {
namespace {

// Freed frames are kept by size, in steps of the heap's own (a frame then wastes nothing, and an
// idle connection is made of frames) up to 2.5 KiB: at most kKept of a size, enough for the
// connections that come and go within a turn, and at most kKeptBytes a thread.
constexpr std::size_t kStep = 16;
constexpr std::size_t kSizes = 160;
constexpr unsigned kKept = 64;
constexpr std::size_t kKeptBytes = 256 * 1024;

// The heap puts 8 bytes in front of what it gives and rounds the sum up to 16.
constexpr std::size_t kHeapHeader = 8;

struct FreeFrame {
  FreeFrame* next;
};

struct FrameCache {
  struct Bin {
    FreeFrame* first = nullptr;
    unsigned count = 0;
  };
  std::array<Bin, kSizes> bins;
  std::size_t bytes = 0;
  bool closed = false;

  ~FrameCache() {
    closed = true;  // frames of other thread-locals may still come
    for (Bin& bin : bins) {
      while (bin.first != nullptr) ::operator delete(std::exchange(bin.first, bin.first->next));
    }
  }
};

thread_local FrameCache cache;

std::size_t bin_of(std::size_t bytes) { return (bytes + kHeapHeader - 1) / kStep; }
constexpr std::size_t size_of(std::size_t bin) { return (bin + 1) * kStep - kHeapHeader; }

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
  if (bin.first == nullptr) return ::operator new(size_of(bin_index));
  --bin.count;
  cache.bytes -= size_of(bin_index);
  return std::exchange(bin.first, bin.first->next);
}

void release_frame(void* frame, std::size_t bytes) noexcept {
  const std::size_t bin_index = bin_of(bytes);
  if (kCached && bin_index < kSizes && !cache.closed && cache.bins[bin_index].count < kKept &&
      cache.bytes < kKeptBytes) {
    FrameCache::Bin& bin = cache.bins[bin_index];
    bin.first = new (frame) FreeFrame{bin.first};
    ++bin.count;
    cache.bytes += size_of(bin_index);
    return;
  }
  ::operator delete(frame);
}

}  // namespace mesh::io::internal
