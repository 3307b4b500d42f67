#pragma once
// SharedToken: the bearer token of the debug pages that all replicas take, in the Secret
// `weft-debug-token` of control's namespace, made by the first replica that finds none. Who may
// read that Secret may read the pages of every replica.
//
// Threads: that of Http, but for token().

#include <memory>
#include <mutex>
#include <string>

#include "mesh/kube/informer.h"
#include "mesh/telemetry/log.h"

namespace mesh::control::kubernetes {

inline constexpr const char* kDebugSecret = "weft-debug-token";

class SharedToken final : public kube::Sink {
 public:
  // Both must outlive `http`'s work.
  SharedToken(kube::Http& http, std::string ns, telemetry::Log& log)
      : http_(http), ns_(std::move(ns)), log_(log) {}
  void run();

  // Empty while there is none.
  std::string token() const;

  void begin_list() override { there_ = false; }
  void stage(manifest::Value&& object) override { take(object); }
  void commit_list() override;
  void put(manifest::Value&& object) override { take(object); }
  void remove(manifest::Value&& object) override;

 private:
  void take(const manifest::Value& object);
  void make();

  kube::Http& http_;
  const std::string ns_;
  telemetry::Log& log_;
  std::shared_ptr<kube::Informer> informer_;
  bool there_ = false;
  mutable std::mutex mutex_;
  std::string token_;
};

}  // namespace mesh::control::kubernetes
