#pragma once

#include <assent/client.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/output.h"

// One function a command (or family): each adds its subcommands to the program and, when chosen, runs and
// leaves its exit code in Globals.
namespace assent::cli {

class ClusterView;

struct Globals {
  std::vector<std::string> connect;  // --connect: host:port of some nodes; empty: not given
  Format format = Format::kTable;
  ExitCode exit_code = kOk;
};

inline constexpr char kDefaultConnect[] = "127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403";

// Adds --connect and -o to a command that talks to a cluster.
void AddClusterOptions(CLI::App& command, Globals& globals);
void AddOutputOption(CLI::App& command, Globals& globals);

// The addresses that --connect names; else $ASSENT_CONNECT; else kDefaultConnect.
std::vector<std::string> AddressesOf(const Globals& globals);

// For commands that ask the nodes themselves.
Result<ClusterView> FindCluster(const Globals& globals);
Result<Client> ConnectClient(const Globals& globals, const ClientOptions& options = {});

void AddNode(CLI::App& app, Globals& globals);
void AddDev(CLI::App& app, Globals& globals);
void AddDemo(CLI::App& app, Globals& globals);
void AddStatus(CLI::App& app, Globals& globals);
void AddData(CLI::App& app, Globals& globals);  // get, put, delete, scan, exec
void AddShell(CLI::App& app, Globals& globals);
void AddTxn(CLI::App& app, Globals& globals);
void AddDirectory(CLI::App& app, Globals& globals);
void AddGroup(CLI::App& app, Globals& globals);
void AddRm(CLI::App& app, Globals& globals);
void AddWal(CLI::App& app, Globals& globals);
void AddBench(CLI::App& app, Globals& globals);
void AddCompletion(CLI::App& app, Globals& globals);

}  // namespace assent::cli
