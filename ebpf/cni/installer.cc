#include "ebpf/cni/installer.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "ebpf/node_log.h"

namespace mesh::ebpf::cni {
namespace {

constexpr std::size_t kProgramBytesMax = 64u << 20;
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR;

std::string problem(const std::string& path) { return path + ": " + std::strerror(errno); }

std::expected<std::string, std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(problem(path));
  std::string text;
  std::array<char, 65536> chunk;
  for (;;) {
    const ssize_t size = ::read(file.get(), chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::unexpected(problem(path));
    if (size == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(size));
    if (text.size() > bytes_max) return std::unexpected(path + ": it is too large");
  }
}

// Beside it first, under a name that no runtime takes for a configuration.
std::expected<void, std::string> replace_file(const std::string& path, std::string_view text,
                                              mode_t mode) {
  const std::string fresh = path + ".weft-new";
  const UniqueFd file(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return std::unexpected(problem(fresh));
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0) return std::unexpected(problem(fresh));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fchmod(file.get(), mode) < 0 || fsync(file.get()) < 0 ||
      rename(fresh.c_str(), path.c_str()) < 0)
    return std::unexpected(problem(path));
  return {};
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0600;
}

// Those that runtimes look at, in their order.
std::vector<std::string> configurations_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".conflist" || extension == ".conf" || extension == ".json")
      paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

std::string program_path(const InstallOptions& options) {
  return options.programs + "/" + std::string(kPluginType);
}

}  // namespace

std::expected<std::unique_ptr<Installer>, std::string> Installer::start(InstallOptions options) {
  for (const std::string& folder : {options.configurations, options.programs})
    if (!std::filesystem::is_directory(folder))
      return std::unexpected(folder + " is no folder: it must be the node's");
  auto program = read_file(options.plugin, kProgramBytesMax);
  if (!program) return std::unexpected(program.error());
  std::unique_ptr<Installer> installer(new Installer(std::move(options)));
  installer->program_ = *std::move(program);
  installer->inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!installer->inotify_) return std::unexpected(problem("inotify"));
  return installer;
}

// Folders may be taken away and come back: each look makes sure.
void Installer::watch() {
  for (const std::string& folder : {options_.configurations, options_.programs}) {
    const int watched = inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
    if (watched >= 0) watches_[folder] = watched;
  }
}

unsigned Installer::mend() {
  std::array<char, 4096> events;
  while (::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  watch();
  // The program first: a configuration must not name what is not there.
  const auto program = mend_program();
  const auto configuration =
      program ? mend_configuration() : std::expected<unsigned, std::string>(0u);
  const std::string said = !program         ? program.error()
                           : !configuration ? configuration.error()
                                            : std::string();
  if (said != said_ && !said.empty()) log_error("weft-cni is not in place: " + said);
  if (said.empty() && !in_place_) log_info("weft-cni is in place in " + options_.configurations);
  said_ = said;
  in_place_ = said.empty();
  return program.value_or(0) + configuration.value_or(0);
}

std::expected<unsigned, std::string> Installer::mend_program() {
  const std::string path = program_path(options_);
  const auto there = read_file(path, kProgramBytesMax);
  if (there && *there == program_ && (mode_of(path) & 0111) == 0111) return 0u;
  if (const auto written = replace_file(path, program_, 0755); !written)
    return std::unexpected(written.error());
  log_info(path + " installed");
  return 1u;
}

std::expected<unsigned, std::string> Installer::mend_configuration() {
  const std::vector<std::string> paths = configurations_in(options_.configurations);
  if (paths.empty())
    return std::unexpected("there is no CNI configuration in " + options_.configurations +
                           " yet; weft-cni is chained after one");
  const std::string& path = paths.front();
  const auto text = read_file(path, kConflistBytesMax);
  if (!text) return std::unexpected(text.error());
  const auto chained = with_plugin(*text, options_.entry);
  if (!chained) return std::unexpected(path + ": " + chained.error());
  if (!*chained) return 0u;
  if (const auto written = replace_file(path, **chained, mode_of(path)); !written)
    return std::unexpected(written.error());
  log_info("weft-cni is chained in " + path);
  return 1u;
}

std::expected<void, std::string> Installer::remove(const InstallOptions& options) {
  std::string failures;
  for (const std::string& path : configurations_in(options.configurations)) {
    const auto text = read_file(path, kConflistBytesMax);
    const auto left = text ? without_plugin(*text) : NewText(std::nullopt);
    if (!left || !*left) continue;  // not ours, or not readable: then we are not in it
    if (const auto written = replace_file(path, **left, mode_of(path)); !written)
      failures += written.error() + "; ";
    else
      log_info("weft-cni is no longer chained in " + path);
  }
  if (!failures.empty()) return std::unexpected(failures);
  // Last: no configuration names it any more.
  const std::string program = program_path(options);
  if (unlink(program.c_str()) < 0 && errno != ENOENT) return std::unexpected(problem(program));
  return {};
}

}  // namespace mesh::ebpf::cni
