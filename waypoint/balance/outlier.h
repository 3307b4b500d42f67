#pragma once
// OutlierDetector: which hosts of a cluster answer so badly that they are left out for a while.
// Envoy's figures and order. Results and ticks in, ejections out; no clock of its own.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waypoint/balance/hosts.h"
#include "waypoint/config/cluster.h"
#include "waypoint/http/dice.h"

namespace mesh::waypoint::balance {

enum class HostResult : std::uint8_t {
  kSuccess,       // an answer below 500 (gRPC: mapped to HTTP)
  kGatewayError,  // 502, 503, 504
  kServerError,   // another 5xx
  kLocalFailure,  // no connection, a reset, a timeout: nothing came from the host
  kLocalSuccess,  // connected
};
HostResult result_of_status(int status);

enum class EjectionCause : std::uint8_t {
  kConsecutive5xx,
  kConsecutiveGateway,
  kConsecutiveLocal,
  kSuccessRate,
  kLocalSuccessRate,
  kFailurePercentage,
  kLocalFailurePercentage,
};
std::string_view cause_name(EjectionCause cause);  // "consecutive_5xx"

struct Ejection {
  std::string host = {};  // key
  bool ejected = false;   // false: it comes back
  EjectionCause cause = EjectionCause::kConsecutive5xx;
};

class OutlierDetector {
 public:
  explicit OutlierDetector(config::OutlierDetection settings) : settings_(settings) {}
  void set(const config::OutlierDetection& settings) { settings_ = settings; }

  // The hosts there are, by key; the others are forgotten.
  void set_hosts(std::span<const std::string> hosts);

  // A result of a host. Returns what it caused: at most one ejection.
  std::vector<Ejection> record(std::string_view host, HostResult result, Time now,
                               http::Dice& dice);
  // Every settings().interval: takes hosts back whose time is over, then looks at rates.
  std::vector<Ejection> tick(Time now, http::Dice& dice);
  // An active health check found it well.
  std::vector<Ejection> passed_check(std::string_view host);

  const config::OutlierDetection& settings() const { return settings_; }
  std::size_t ejected() const { return ejected_; }
  bool is_ejected(std::string_view host) const;

 private:
  struct Rate {
    std::uint64_t total = 0;
    std::uint64_t good = 0;
    void add(bool success) {
      ++total;
      good += success ? 1 : 0;
    }
  };
  struct Monitor {
    std::uint32_t in_a_row_5xx = 0;
    std::uint32_t in_a_row_gateway = 0;
    std::uint32_t in_a_row_local = 0;
    Rate external = {};
    Rate local = {};
    bool ejected = false;
    std::uint32_t times = 0;  // how long an ejection lasts: as many base times
    Time since{0};
    Time jitter{0};
  };
  using Monitors = std::map<std::string, Monitor, std::less<>>;
  struct RateRule {
    Rate Monitor::* rate;
    EjectionCause by_deviation;
    EjectionCause by_percentage;
    std::uint32_t enforce_deviation;
    std::uint32_t enforce_percentage;
  };

  void record_external(Monitors::value_type& host, bool gateway, Time now, http::Dice& dice,
                       std::vector<Ejection>& caused);
  void record_local_failure(Monitors::value_type& host, Time now, http::Dice& dice,
                            std::vector<Ejection>& caused);
  void eject(Monitors::value_type& host, EjectionCause cause, std::uint32_t enforce, Time now,
             http::Dice& dice, std::vector<Ejection>& caused);
  void take_back(Monitors::value_type& host, std::vector<Ejection>& caused);
  void judge_rates(const RateRule& rule, Time now, http::Dice& dice, std::vector<Ejection>& caused);
  Time ejection_time(const Monitor& monitor) const;

  config::OutlierDetection settings_;
  Monitors monitors_;
  std::size_t ejected_ = 0;
};

}  // namespace mesh::waypoint::balance
