#include "cli/kubernetes/commands.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/kubernetes/install.h"
#include "cli/mesh_status.h"
#include "cli/session.h"

namespace mesh::cli {
namespace {

void add_cluster_choice(CLI::App& command, Session& session) {
  command.add_option("--kubeconfig", session.kubeconfig,
                     "how to reach the cluster (default: $KUBECONFIG, ~/.kube/config)");
  command.add_option("--context", session.context, "of the kubeconfig");
}

void add_output(CLI::App& command, Session& session) {
  command.add_option("-o,--output", session.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
}

struct InstallFlags {
  InstallOptions options;
  std::string timeout = "180s";
  bool no_wait = false;
};

void add_release(CLI::App& command, Session& session, InstallFlags& flags) {
  add_cluster_choice(command, session);
  add_output(command, session);
  command.add_option("-n,--namespace", flags.options.ns, "where Weft is")->capture_default_str();
  command.add_option("--name", flags.options.name, "of the release")->capture_default_str();
  command.add_flag("--dry-run", flags.options.dry_run,
                   "only show the plan; with -o yaml or json, the objects");
  command.add_flag("--no-wait", flags.no_wait, "do not wait for the programs");
  command.add_option("--timeout", flags.timeout, "of waiting, as 90s, 5m")->capture_default_str();
  command.footer("Exit code 0: done; 1: failed; 3: all is applied, but it did not run in time.");
}

void add_values(CLI::App& command, InstallFlags& flags) {
  command.add_option("-f,--values", flags.options.files, "a file of values; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--set", flags.options.sets, "KEY=VALUE; may be repeated")
      ->allow_extra_args(false);
  command.add_flag("--force-conflicts", flags.options.force, "take fields that others have set");
}

void on_call(CLI::App& command, Session& session, std::shared_ptr<InstallFlags> flags,
             int (*run)(const Session&, const InstallOptions&)) {
  command.callback([flags = std::move(flags), run, &session] {
    const auto timeout = parse_duration(flags->timeout);
    if (!timeout) {
      session.code = complain(timeout.error());
      return;
    }
    flags->options.timeout = *timeout;
    flags->options.wait = !flags->no_wait;
    session.code = run(session, flags->options);
  });
}

void add_installation(CLI::App& weft, Session& session) {
  auto installed = std::make_shared<InstallFlags>();
  CLI::App* command = weft.add_subcommand("install", "put Weft on a cluster");
  add_release(*command, session, *installed);
  add_values(*command, *installed);
  on_call(*command, session, installed, install);

  auto upgraded = std::make_shared<InstallFlags>();
  command = weft.add_subcommand("upgrade", "bring Weft on a cluster to this version, or to values");
  add_release(*command, session, *upgraded);
  add_values(*command, *upgraded);
  command->add_flag("--reset-values", upgraded->options.reset_values,
                    "start from the defaults, not from the values of before");
  on_call(*command, session, upgraded, upgrade);

  auto removed = std::make_shared<InstallFlags>();
  command = weft.add_subcommand("uninstall", "take Weft off a cluster");
  add_release(*command, session, *removed);
  command->add_flag("--purge", removed->options.purge, "the namespace too, with the root's key");
  on_call(*command, session, removed, uninstall);
}

}  // namespace

void add_kubernetes_commands(CLI::App& weft, Session& session) { add_installation(weft, session); }

}  // namespace mesh::cli
