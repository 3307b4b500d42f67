#include "cli/kubernetes/commands.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/analyze/analyze.h"
#include "cli/kubernetes/bug_report.h"
#include "cli/kubernetes/check.h"
#include "cli/kubernetes/describe.h"
#include "cli/kubernetes/install.h"
#include "cli/kubernetes/proxy_config.h"
#include "cli/kubernetes/waypoint.h"
#include "cli/mesh_status.h"
#include "cli/session.h"

namespace mesh::cli {

void add_cluster_choice(CLI::App& command, Session& session) {
  command.add_option("-l,--lab", session.lab, "which lab (default: $WEFT_LAB, or the only one)");
  command.add_option("--kubeconfig", session.kubeconfig,
                     "how to reach the cluster (default: $KUBECONFIG, ~/.kube/config)");
  command.add_option("--context", session.context, "of the kubeconfig");
}

void add_output(CLI::App& command, Session& session) {
  command.add_option("-o,--output", session.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
}

namespace {

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

void add_namespace(CLI::App& command, Session& session) {
  command.add_option("-n,--namespace", session.ns, "default: the context's");
}

struct WaypointFlags {
  WaypointOptions options;
  std::string timeout = "90s";
};

CLI::App* add_waypoint_command(CLI::App& all, Session& session, const char* name, const char* help,
                               int (*run)(const Session&, const WaypointOptions&),
                               std::shared_ptr<WaypointFlags> flags) {
  CLI::App* command = all.add_subcommand(name, help);
  add_cluster_choice(*command, session);
  add_namespace(*command, session);
  command->callback([flags, run, &session] {
    const auto timeout = parse_duration(flags->timeout);
    if (!timeout) {
      session.code = complain(timeout.error());
    } else if (flags->options.name == "none") {
      session.code = complain("invalid name provided for waypoint, 'none' is a reserved value");
    } else {
      flags->options.timeout = *timeout;
      session.code = run(session, flags->options);
    }
  });
  return command;
}

void add_waypoint_shape(CLI::App& command, WaypointOptions& options) {
  command.add_option("--name", options.name, "of the waypoint")->capture_default_str();
  command.add_option("--for", options.traffic, "service, workload, all or none")
      ->check(CLI::IsMember({"service", "workload", "all", "none"}));
  command.add_option("-r,--revision", options.revision, "of the control plane it is for");
  command.add_option("--class", options.class_name, "of the Gateway")->capture_default_str();
}

void add_waiting(CLI::App& command, WaypointFlags& flags) {
  command.add_option("--waypoint-timeout", flags.timeout, "of waiting")->capture_default_str();
}

void add_waypoints(CLI::App& weft, Session& session) {
  CLI::App* all = weft.add_subcommand("waypoint", "make, list, watch and delete waypoints");
  all->require_subcommand(1);
  auto flags = std::make_shared<WaypointFlags>();
  CLI::App* command = add_waypoint_command(*all, session, "generate", "print a waypoint's Gateway",
                                           waypoint_generate, flags);
  add_output(*command, session);
  add_waypoint_shape(*command, flags->options);

  flags = std::make_shared<WaypointFlags>();
  command = add_waypoint_command(*all, session, "apply", "make a waypoint", waypoint_apply, flags);
  add_waypoint_shape(*command, flags->options);
  add_waiting(*command, *flags);
  command->add_flag("--enroll-namespace", flags->options.enroll_namespace,
                    "have the namespace use it");
  command->add_flag("--overwrite", flags->options.overwrite,
                    "even if the namespace uses another one");
  command->add_flag("-w,--wait", flags->options.wait, "until it is ready");

  flags = std::make_shared<WaypointFlags>();
  command = add_waypoint_command(*all, session, "list", "the waypoints", waypoint_list, flags);
  add_output(*command, session);
  command->add_flag("-A,--all-namespaces", flags->options.all_namespaces);

  flags = std::make_shared<WaypointFlags>();
  flags->options.wait = true;
  command = add_waypoint_command(*all, session, "status", "whether waypoints are ready",
                                 waypoint_status, flags);
  add_output(*command, session);
  command->add_flag("-A,--all-namespaces", flags->options.all_namespaces);
  command->add_flag("-w,--wait", flags->options.wait, "until they are; --wait=false: as it is now")
      ->default_str("true");
  add_waiting(*command, *flags);

  flags = std::make_shared<WaypointFlags>();
  command =
      add_waypoint_command(*all, session, "delete", "remove waypoints", waypoint_delete, flags);
  command->add_option("names", flags->options.names, "which");
  command->add_flag("--all", flags->options.all, "all of the namespace");
  command->add_option("-r,--revision", flags->options.revision, "those of a revision");
}

void add_analyze(CLI::App& weft, Session& session) {
  auto options = std::make_shared<AnalyzeOptions>();
  CLI::App* command = weft.add_subcommand(
      "analyze", "what in manifests, or in a cluster, does not do what was meant");
  command->add_option("files", options->files,
                      "manifests or folders of them, - for standard input; none: the cluster");
  command->add_flag("--with-cluster", options->with_cluster,
                    "the files as if they were applied to the cluster");
  command->add_flag("-A,--all-namespaces", options->all_namespaces);
  add_cluster_choice(*command, session);
  add_namespace(*command, session);
  add_output(*command, session);
  command->footer("Exit code 0: nothing found; 5: errors or warnings; 1: could not look.");
  command->callback([options, &session] { session.code = analyze(session, *options); });
}

void add_check(CLI::App& weft, Session& session) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      weft.add_subcommand("check", "is a cluster fit for Weft; is Weft on it as it should be");
  add_cluster_choice(*command, session);
  add_output(*command, session);
  command->add_option("-n,--namespace", options->ns, "where Weft is, or will be")
      ->capture_default_str();
  command->footer("Exit code 0: all is well; 5: something is wrong, and named with its fix.");
  command->callback([options, &session] { session.code = check(session, *options); });

  command = weft.add_subcommand("status", "the programs of Weft, and who is in the mesh");
  add_cluster_choice(*command, session);
  add_output(*command, session);
  command->add_option("-n,--namespace", session.ns, "where Weft is (default: weft-system)");
  command->callback([&session] { session.code = status(session); });

  auto path = std::make_shared<std::string>("weft-bug-report.tar");
  command = weft.add_subcommand("bug-report", "what somebody needs to see to help; no secrets");
  add_cluster_choice(*command, session);
  command->add_option("-n,--namespace", session.ns, "where Weft is (default: weft-system)");
  command->add_option("-f,--file", *path, "a new file")->capture_default_str();
  command->callback([path, &session] { session.code = bug_report(session, *path); });
}

void add_question(CLI::App& parent, Session& session, const char* name, const char* help,
                  int (*run)(const Session&, const std::string&)) {
  auto object = std::make_shared<std::string>();
  CLI::App* command = parent.add_subcommand(name, help);
  add_cluster_choice(*command, session);
  add_namespace(*command, session);
  add_output(*command, session);
  command->add_option("name", *object)->required();
  command->callback([object, run, &session] { session.code = run(session, *object); });
}

void add_descriptions(CLI::App& weft, Session& session) {
  CLI::App* describe =
      weft.add_subcommand("describe", "what the mesh does with a pod or a service");
  describe->require_subcommand(1);
  add_question(*describe, session, "pod", "in the mesh? as whom? by which policies?", describe_pod);
  add_question(*describe, session, "service", "its pods, waypoint and routes", describe_service);
  CLI::App* authz = weft.add_subcommand("authz", "authorization");
  authz->require_subcommand(1);
  add_question(*authz, session, "check", "the policies of a pod, and who enforces them",
               authz_check);
}

void add_proxy_config(CLI::App& weft, Session& session) {
  CLI::App* all = weft.add_subcommand("proxy-config", "what a waypoint is configured with");
  all->require_subcommand(1);
  auto pod = std::make_shared<std::string>();
  auto address = std::make_shared<std::string>();
  for (const auto& [name, part, help] :
       {std::tuple("cluster", ProxyPart::kCluster, "services that it calls"),
        std::tuple("listener", ProxyPart::kListener, "what it takes, and where that leads"),
        std::tuple("route", ProxyPart::kRoute, "how requests are told apart"),
        std::tuple("endpoint", ProxyPart::kEndpoint, "addresses of services, and their health"),
        std::tuple("secret", ProxyPart::kSecret, "names of its certificates and roots"),
        std::tuple("bootstrap", ProxyPart::kBootstrap, "what it was started with"),
        std::tuple("all", ProxyPart::kAll, "everything; with -o json, the dump as it is")}) {
    CLI::App* command = all->add_subcommand(name, help);
    add_cluster_choice(*command, session);
    add_namespace(*command, session);
    add_output(*command, session);
    command->add_option("pod", *pod, "[NAMESPACE/]POD of a waypoint");
    command->add_option("--address", *address, "an admin address to ask instead");
    command->callback([pod, address, part, &session] {
      session.code = proxy_config(session, part, *pod, *address);
    });
  }
}

}  // namespace

void add_kubernetes_commands(CLI::App& weft, Session& session) {
  add_installation(weft, session);
  add_waypoints(weft, session);
  add_analyze(weft, session);
  add_check(weft, session);
  add_descriptions(weft, session);
  add_proxy_config(weft, session);
}

}  // namespace mesh::cli
