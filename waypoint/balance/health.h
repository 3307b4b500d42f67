#pragma once
// HostHealth: what active checks say of one host, and when the next one is due. Envoy's rules:
// a host counts as unhealthy until it passed a check; the first check decides at once, later ones
// when a threshold is reached, but an answer that is wrong (no answer is not) at once.
//
// Values in, values out: the caller asks, and keeps the time.

#include <chrono>
#include <cstdint>

#include "waypoint/config/cluster.h"
#include "waypoint/http/dice.h"

namespace mesh::waypoint::balance {

enum class CheckResult : std::uint8_t {
  kPass,
  kDegraded,     // it passed, and says that it would rather not
  kNoAnswer,     // refused, reset, too late, or an answer that is worth another look
  kWrongAnswer,  // it says that it is not well
};

class HostHealth {
 public:
  // The standing changed, or was found out.
  bool record(CheckResult result, const config::HealthCheck& check);

  bool known() const { return known_; }  // was checked
  bool failed() const { return failed_; }
  bool degraded() const { return degraded_; }

  // Before the first check.
  static std::chrono::milliseconds first_wait(const config::HealthCheck& check, http::Dice& dice);
  // From the last check to the next. `used`: the cluster has had requests.
  std::chrono::milliseconds wait(const config::HealthCheck& check, bool used,
                                 http::Dice& dice) const;

 private:
  bool known_ = false;
  bool failed_ = true;
  bool degraded_ = false;
  bool last_passed_ = false;
  bool pending_ = false;  // the last check would change the standing, but not yet
  std::uint32_t passes_ = 0, failures_ = 0;  // in a row, while pending
};

// What HTTP says of a host.
CheckResult result_of_check(int status, bool degraded, const config::HealthCheck& check);

}  // namespace mesh::waypoint::balance
