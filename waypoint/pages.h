#pragma once
// The pages of 15000 (admin, loopback), 15020 (metrics) and 15021 (readiness).

#include <functional>
#include <string>
#include <vector>

#include "mesh/admin/admin_server.h"
#include "mesh/io/task.h"
#include "mesh/telemetry/log.h"

namespace mesh::waypoint {

struct PageSources {
  std::function<std::string(bool include_endpoints)> config_dump;
  std::function<io::Task<std::string>(bool json)> clusters;
  std::function<io::Task<std::string>()> stats;
  std::function<std::string(bool json)> listeners;
  std::function<std::string()> certificates;
  std::function<std::string()> server_info;
  std::function<std::string()> metrics;
  std::function<std::vector<std::string>()> pending;  // empty: ready
  std::function<void()> quit;
};

// "name: value" lines as `request` wants them: ?filter=EXPRESSION, ?format=json.
admin::Response stats_page(const std::string& lines, const admin::Request& request);
admin::Routes admin_pages(const PageSources& sources, telemetry::LogFilter& filter,
                          telemetry::Level initial);
admin::Routes metrics_pages(const PageSources& sources);
admin::Routes readiness_pages(const PageSources& sources);

}  // namespace mesh::waypoint
