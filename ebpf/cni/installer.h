#pragma once
// Installer: keeps weft-cni on the node: its program among the runtime's plugins, and its entry in
// the cluster's CNI configuration, whoever rewrites or removes them.
//
// The configuration that counts is the first by name, as for runtimes. Files are replaced as a
// whole, in one step. What cannot be repaired now (a file half written, none there yet) is tried
// again when it changes, and every second.

#include <chrono>
#include <expected>
#include <map>
#include <memory>
#include <string>

#include "ebpf/cni/conflist.h"
#include "ebpf/unique_fd.h"

namespace mesh::ebpf::cni {

struct InstallOptions {
  std::string configurations = "/etc/cni/net.d";
  std::string programs = "/opt/cni/bin";
  std::string plugin;  // the program to install
  PluginEntry entry;
};

class Installer {
 public:
  // Errors: folders or the program are not there.
  static std::expected<std::unique_ptr<Installer>, std::string> start(InstallOptions options);

  // Readable when something has happened in one of the folders.
  int fd() const { return inotify_.get(); }
  // Looks, and mends. How many files had to be written.
  unsigned mend();
  // Is everything in its place, as of the last mend()?
  bool in_place() const { return in_place_; }

  // Takes away what is ours, in all configurations.
  static std::expected<void, std::string> remove(const InstallOptions& options);
  const InstallOptions& options() const { return options_; }

 private:
  explicit Installer(InstallOptions options) : options_(std::move(options)) {}
  void watch();
  std::expected<unsigned, std::string> mend_program();
  std::expected<unsigned, std::string> mend_configuration();

  const InstallOptions options_;
  UniqueFd inotify_;
  std::map<std::string, int> watches_;
  std::string program_;  // its bytes
  std::string said_;     // the last problem, in the log already
  bool in_place_ = false;
};

}  // namespace mesh::ebpf::cni
