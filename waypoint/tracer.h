#pragma once
// Tracer: brings finished spans to the collector that their chain names: OTLP over gRPC or HTTP, in
// batches, from a queue of its own. A collector that is slow or away costs spans, never requests.

#include <cstdint>
#include <deque>
#include <string>

#include "waypoint/callout.h"
#include "waypoint/tracing/otlp.h"

namespace mesh::waypoint {

// Threads: those of its ring. Limits: kQueueMax spans and kQueueBytesMax bytes wait; the next ones
// are dropped and counted, as is a batch that no collector took within kExportWithin.
class Tracer {
 public:
  static constexpr std::size_t kQueueMax = 2048;
  static constexpr std::size_t kQueueBytesMax = 4u << 20;
  static constexpr std::size_t kBatchMax = 256;
  static constexpr io::Duration kFlushEvery = std::chrono::seconds(5);
  static constexpr io::Duration kExportWithin = std::chrono::seconds(10);
  struct Counts {
    std::uint64_t exported = 0, dropped = 0;
  };

  // `node`: who we are, to the collector.
  Tracer(RingContext& context, std::string node);

  // `chain` has tracing, with a cluster.
  void finished(config::ChainPtr chain, tracing::FinishedSpan span);
  io::Task<void> run();  // until cancelled
  // What still waits, within `limit`.
  io::Task<void> flush(io::Duration limit);
  const Counts& counts() const { return counts_; }

 private:
  struct Waiting {
    config::ChainPtr chain;
    tracing::FinishedSpan span;
  };
  io::Task<Result<Done>> export_all();
  io::Task<Result<Done>> export_batch();

  RingContext& context_;
  std::string node_;
  std::deque<Waiting> queue_;
  std::size_t bytes_ = 0;
  io::Event enough_;
  Counts counts_;
};

}  // namespace mesh::waypoint
