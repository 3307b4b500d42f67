#pragma once
// The admin, metrics and readiness pages of this program: what each path answers.

#include <functional>
#include <string>

#include "mesh/admin/admin_server.h"
#include "mesh/telemetry/log.h"

namespace mesh::ztunnel {

// Admin (15000): /, /config_dump, /logging, /quitquitquit. `initial` is the level that
// "POST /logging?reset" goes back to.
admin::Routes admin_pages(telemetry::LogFilter& filter, telemetry::Level initial,
                          std::function<io::Task<std::string>()> dump, std::function<void()> quit);
// 15020: /metrics, /stats/prometheus.
admin::Routes metrics_pages(std::function<std::string()> render);
// 15021: /healthz/ready. `pending` names what is missing; empty means ready.
admin::Routes readiness_pages(std::function<std::vector<std::string>()> pending);

}  // namespace mesh::ztunnel
