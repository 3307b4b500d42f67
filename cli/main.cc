// weft: the command line.

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "cli/completion.h"
#include "cli/explain.h"
#include "cli/kubernetes/ca.h"
#include "cli/kubernetes/commands.h"
#include "cli/kubernetes/wait.h"
#include "cli/lab/commands.h"
#include "cli/mesh_status.h"
#include "cli/session.h"
#include "cli/version.h"
#include "cli/ztunnel_config.h"

using namespace mesh::cli;

namespace {

void add_lab_choice(CLI::App& command, Session& session) {
  command.add_option("-l,--lab", session.lab, "which lab (default: $WEFT_LAB, or the only one)");
}

void add_up(CLI::App& labs, Session& session) {
  auto options = std::make_shared<lab::UpOptions>();
  auto foreground = std::make_shared<bool>(false);
  auto without_mesh = std::make_shared<bool>(false);
  CLI::App* command = labs.add_subcommand("up", "bring up a lab from a folder of manifests");
  command->add_option("folder", options->source, "the folder")->required();
  command->add_option("--name", options->name, "the lab's name (default: the folder's)");
  command->add_flag("-k,--kubernetes", options->kubernetes,
                    "on a real API server, with nodes that run its pods (needs `make kubernetes`)");
  command->add_flag("--foreground", *foreground, "stay; Ctrl-C takes the lab down");
  command->add_flag("--without-mesh", *without_mesh, "nodes and pods only, to compare with");
  command->add_option("--certificate-lifetime", options->certificate_lifetime,
                      "of workload certificates, as 30s, 12h");
  command->add_option("--control-flag", options->control_flags, "passed on to weft-control")
      ->take_all();
  command->add_option("--agent-flag", options->agent_flags, "passed on to weft-agent")->take_all();
  command->add_option("--ztunnel-flag", options->ztunnel_flags, "passed on to weft-ztunnel")
      ->take_all();
  command->callback([options, foreground, without_mesh, &session] {
    options->mesh = !*without_mesh;
    session.code = lab::up(*options, *foreground);
  });
}

void add_inspection(CLI::App& labs, Session& session) {
  CLI::App* list = labs.add_subcommand("list", "the labs on this machine");
  add_output(*list, session);
  list->callback([&session] { session.code = lab::list(session); });

  CLI::App* status = labs.add_subcommand("status", "programs and pods of a lab");
  add_lab_choice(*status, session);
  add_output(*status, session);
  status->callback([&session] { session.code = lab::status(session); });

  auto name = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  CLI::App* logs = labs.add_subcommand("logs", "the log of a pod or a program");
  add_lab_choice(*logs, session);
  logs->add_option("name", *name, "a pod, control, NODE/agent, NODE/ztunnel, or lab")->required();
  logs->add_flag("-f,--follow", *follow, "stay and show what comes");
  logs->callback(
      [name, follow, &session] { session.code = lab::logs(session.lab, *name, *follow); });

  auto where = std::make_shared<std::string>();
  CLI::App* exec = labs.add_subcommand("exec", "run a command inside a pod: exec POD -- COMMAND");
  add_lab_choice(*exec, session);
  exec->add_option("where", *where, "a pod, a node, or link")->required();
  exec->footer("The exit code is the command's; 126 and 127 when it cannot be run.");
  exec->callback([where, &session] {
    session.code = session.command.empty()
                       ? complain("say what to run: weft lab exec " + *where + " -- COMMAND")
                       : lab::exec(session.lab, *where, session.command);
  });
}

void add_changes(CLI::App& labs, Session& session) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* apply = labs.add_subcommand("apply", "add or replace the objects of manifest files");
  add_lab_choice(*apply, session);
  apply->add_option("files", *files, "manifests; - is standard input")->required();
  apply->callback([files, &session] { session.code = lab::apply(session.lab, *files); });

  auto what = std::make_shared<std::vector<std::string>>();
  auto file = std::make_shared<std::string>();
  CLI::App* remove = labs.add_subcommand("delete", "remove an object, or those a file names");
  add_lab_choice(*remove, session);
  remove->add_option("what", *what, "KIND [NAMESPACE/]NAME")->expected(0, 2);
  remove->add_option("-f,--file", *file, "a manifest");
  remove->callback(
      [what, file, &session] { session.code = lab::remove(session.lab, *what, *file); });

  for (const char* op : {"stop", "start", "restart"}) {
    auto options = std::make_shared<lab::StopOptions>();
    CLI::App* command = labs.add_subcommand(op, std::string(op) + " a program of the mesh");
    add_lab_choice(*command, session);
    command->add_option("program", options->program, "control, ztunnel, NODE/ztunnel, NODE/agent")
        ->required();
    command->add_flag("--kill", options->kill, "by SIGKILL instead of SIGTERM");
    command->callback([options, op, &session] {
      options->lab = session.lab;
      session.code = lab::program(op, *options);
    });
  }

  auto all = std::make_shared<bool>(false);
  CLI::App* down = labs.add_subcommand("down", "take a lab down; nothing of it stays");
  down->add_option("lab,-l,--lab", session.lab, "which lab");
  down->add_flag("--all", *all, "every lab on this machine");
  down->callback([all, &session] { session.code = lab::down(session.lab, *all); });
}

void add_demo(CLI::App& labs, Session& session) {
  auto folder = std::make_shared<std::string>("examples/shop");
  CLI::App* demo = labs.add_subcommand("demo", "bring up a lab, check its story, take it down");
  demo->add_option("folder", *folder, "the lab's folder, with a demo.py");
  demo->callback([folder, &session] { session.code = lab::demo(*folder, session.command); });

  auto what = std::make_shared<std::string>();
  CLI::App* names = labs.add_subcommand("names", "names for completion")->group("");
  add_lab_choice(*names, session);
  names->add_option("what", *what);
  names->callback([what, &session] { session.code = lab::names(session.lab, *what); });
}

void add_cluster_or_lab(CLI::App& command, Session& session) {
  command.add_flag("-k,--kubernetes", session.kubernetes,
                   "ask a cluster (the default with $KUBECONFIG, and when there is no lab)");
  add_cluster_choice(command, session);
}

void add_control_choice(CLI::App& command, Session& session) {
  add_cluster_or_lab(command, session);
  command.add_option("--weft-namespace", session.weft_ns, "where Weft is")->capture_default_str();
  command.add_option("--control", session.control,
                     "ask this server (http://ADDRESS:15014) instead");
  command.add_option("--token-file", session.token_file, "its debug token");
  add_output(command, session);
}

void add_ztunnel_config(CLI::App& weft, Session& session) {
  CLI::App* config = weft.add_subcommand("ztunnel-config", "what ztunnel knows, from /config_dump");
  config->require_subcommand(1);
  auto node = std::make_shared<std::string>();
  auto address = std::make_shared<std::string>();
  for (const auto& [name, part, help] :
       {std::tuple("workload", DumpPart::kWorkload, "the workloads of the mesh"),
        std::tuple("service", DumpPart::kService, "the services and their endpoints"),
        std::tuple("policy", DumpPart::kPolicy, "the authorization policies"),
        std::tuple("certificate", DumpPart::kCertificate, "the certificates it holds"),
        std::tuple("connections", DumpPart::kConnections, "the connections that are open")}) {
    CLI::App* command = config->add_subcommand(name, help);
    add_output(*command, session);
    command->add_option("--node", *node, "only this node (default: every node)");
    command->add_option("--address", *address, "an admin address to ask, instead of a lab's nodes");
    add_cluster_or_lab(*command, session);
    command->add_option("-n,--namespace", session.weft_ns, "where they are")->capture_default_str();
    command->callback([node, address, part, &session] {
      session.code = ztunnel_config(session, part, *node, *address);
    });
  }
}

void add_questions(CLI::App& weft, Session& session) {
  CLI::App* status = weft.add_subcommand("proxy-status", "which node has which version");
  add_control_choice(*status, session);
  status->callback([&session] { session.code = proxy_status(session); });

  auto from = std::make_shared<std::string>();
  auto target = std::make_shared<std::string>();
  CLI::App* why =
      weft.add_subcommand("explain", "would FROM reach TO:PORT, and which rule decides");
  why->add_option("from", *from, "NAMESPACE/POD, or a pod's name")->required();
  why->add_option("target", *target, "HOST:PORT, ADDRESS:PORT or NAMESPACE/POD:PORT")->required();
  why->add_option("-n,--namespace", session.ns, "of FROM, if it names none");
  add_control_choice(*why, session);
  why->footer("Exit code 0: allowed; 4: refused; 1: no answer.");
  why->callback([from, target, &session] { session.code = explain(session, *from, *target); });
}

void add_wait(CLI::App& weft, Session& session) {
  auto timeout = std::make_shared<std::string>("60s");
  auto until = std::make_shared<std::string>("applied");
  auto options = std::make_shared<WaitOptions>();
  CLI::App* wait = weft.add_subcommand(
      "wait", "until every node has the current configuration, or an object of a cluster");
  wait->add_option("object", options->object,
                   "KIND NAME, or KIND/NAME: as it is on the cluster now; none: everything")
      ->expected(0, 2)
      ->option_text("");
  wait->add_option("--for", *until, "applied: every node has it; deleted: none has it any more")
      ->check(CLI::IsMember({"applied", "deleted"}))
      ->capture_default_str();
  wait->add_option("-n,--namespace", session.ns, "of the object (default: the context's)");
  wait->add_option("--timeout", *timeout, "as 30s, 2m")->capture_default_str();
  add_control_choice(*wait, session);
  wait->footer(
      "An object: of any kind that control reads, a Service, an AuthorizationPolicy, a route, or\n"
      "the ConfigMap with the mesh's configuration. Of another it is said what to wait for "
      "instead.\n"
      "Without an object, and in a lab: until every node has all that control has read; what\n"
      "control refuses, and what holds instead, is said on standard error.\n"
      "Exit code 0: everywhere; 3: the timeout passed, and who lacks it is named; 1: it is\n"
      "refused, or not there.");
  wait->callback([timeout, until, options, &session] {
    const auto limit = parse_duration(*timeout);
    if (!limit) {
      session.code = complain(limit.error());
      return;
    }
    options->timeout = *limit;
    options->deleted = *until == "deleted";
    session.code = options->object.empty() ? wait_for_mesh(session, *limit)
                                           : wait_for_object(session, *options);
  });
}

void add_ca(CLI::App& weft, Session& session) {
  CLI::App* ca = weft.add_subcommand("ca", "the authority that signs workloads' certificates");
  ca->require_subcommand(1);
  using Command = std::tuple<const char*, int (*)(const Session&), const char*>;
  for (const auto& [name, run, help] :
       {Command("status", ca_status, "what every replica of control signs with"),
        Command("rotate", ca_rotate, "ask for a new root: trusted everywhere before it signs")}) {
    CLI::App* command = ca->add_subcommand(name, help);
    add_control_choice(*command, session);
    command->callback([run, &session] { session.code = run(session); });
  }
  ca->footer("Exit code 0: all is well; 5: a replica has a problem, or they differ; 1: refused.");
}

void add_self(CLI::App& weft, Session& session) {
  auto features = std::make_shared<bool>(false);
  CLI::App* own = weft.add_subcommand("version", "of this program, and what the kernel offers");
  own->add_flag("--features", *features, "the kernel's features beyond the floor");
  add_output(*own, session);
  own->callback([features, &session] { session.code = version(session, *features); });

  auto shell = std::make_shared<std::string>();
  CLI::App* completion = weft.add_subcommand("completion", "a completion script for the shell");
  completion->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->callback(
      [shell, &weft] { std::fputs(completion_script(weft, *shell).c_str(), stdout); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App weft("weft: the command line of the Weft service mesh", "weft");
  weft.set_version_flag("--version", "weft " WEFT_VERSION);
  weft.require_subcommand(1);
  weft.footer(
      "Exit codes: 0 done; 1 failed, and said why; 2 the command line was not understood;\n"
      "3 timed out; 4 refused (explain); 5 something is wrong, and named (check, analyze, ca).\n"
      "`lab exec` answers with its command's.");
  Session session;
  CLI::App* labs = weft.add_subcommand("lab", "a mesh on this machine, from a folder of manifests");
  labs->require_subcommand(1);
  add_up(*labs, session);
  add_inspection(*labs, session);
  add_changes(*labs, session);
  add_demo(*labs, session);
  add_ztunnel_config(weft, session);
  add_questions(weft, session);
  add_wait(weft, session);
  add_ca(weft, session);
  add_kubernetes_commands(weft, session);
  add_self(weft, session);
  // Behind "--" stands somebody else's command line; it is not for the parser.
  char** const dashes = std::find_if(
      argv, argv + argc, [](const char* word) { return std::string_view(word) == "--"; });
  if (dashes != argv + argc) session.command.assign(dashes + 1, argv + argc);
  try {
    weft.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::ParseError& error) {
    const int code = weft.exit(error);
    return code == 0 ? kOk : kUsage;
  }
  return session.code;
}
