#include "ebpf/node_log.h"

#include <sys/time.h>
#include <time.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace mesh::ebpf {
namespace {

void write_line(const char* level, std::string_view line) {
  timeval now{};
  gettimeofday(&now, nullptr);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[32];
  strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  std::fprintf(stderr, "%s.%06ldZ\t%s\tweft-agent\t%.*s\n", stamp, static_cast<long>(now.tv_usec),
               level, static_cast<int>(line.size()), line.data());
}

const char* advice(const Error& error) {
  switch (error.os_errno) {
    case EPERM:
    case EACCES:
      return "run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN";
    case EROFS:
      return "/proc/sys is read-only here: run the agent privileged";
    case EADDRINUSE:
      return "another process listens there, or a file of that name is in the way";
    case ESRCH:
      return "the kernel has no type information: it needs CONFIG_DEBUG_INFO_BTF";
    case EOPNOTSUPP:
    case ENOSYS:
    case EINVAL:
      return "the kernel may be too old or lack a feature: Linux 6.1 or newer with "
             "CONFIG_NET_CLS_BPF,"
             " CONFIG_BPF_JIT and CONFIG_INET_DIAG_DESTROY is needed";
    case ENOMEM:
    case ENOSPC:
      return "the kernel has no memory left for maps and programs";
    default:
      return nullptr;
  }
}

}  // namespace

void log_info(std::string_view line) { write_line("info", line); }
void log_warning(std::string_view line) { write_line("warn", line); }
void log_error(std::string_view line) { write_line("error", line); }

std::string explain(const Error& error) {
  std::string text = error.during;
  text += ": ";
  text += error.os_errno != 0 ? std::string(std::strerror(error.os_errno))
                              : std::string(reason_name(error.reason));
  if (const char* what_to_do = advice(error)) text.append("; ").append(what_to_do);
  return text;
}

}  // namespace mesh::ebpf
