#include <iostream>
#include <string>

#include "cli/commands/commands.h"
#include "common/records.h"
#include "wal/inspect.h"
#include "wal/posix_file.h"

namespace assent::cli {
namespace {

class Printer final : public wal::InspectVisitor {
 public:
  explicit Printer(bool records) : records_(records) {}

  void OnSegment(const wal::InspectedSegment& segment) override {
    std::cout << "segment " << segment.path << "  " << Grouped(static_cast<int64_t>(segment.file_bytes))
              << " bytes"
              << (segment.is_void ? "  (void: left by an interrupted truncation, reset or trim)" : "")
              << '\n';
  }
  void OnBatch(uint64_t, const wal::BatchHeader&, uint64_t) override {}
  void OnFrame(uint64_t offset, const wal::FrameView& frame, const std::string& text) override {
    if (records_) std::cout << "  " << offset << "  " << ToString(frame.position) << "  " << text << '\n';
  }
  void OnSegmentEnd(const wal::InspectedSegment&, const wal::InspectedSegmentEnd& end) override {
    std::cout << "  " << ToString(end.state) << ", last " << ToString(end.last) << ", ends at byte "
              << end.end;
    if (end.torn_batches > 0) std::cout << ", " << end.torn_batches << " torn batches behind it";
    if (!end.status.ok()) std::cout << "\n  " << end.status.message();
    std::cout << '\n';
  }

 private:
  const bool records_;
};

std::string DecodePayload(std::string_view payload) {
  const auto record = DecodeRecord(payload);
  return record.ok() ? Describe(*record) : "(no record of this version)";
}

ExitCode Walk(const std::string& directory, wal::InspectVisitor& visitor) {
  wal::PosixFileSystem files;
  wal::InspectOptions options;
  options.decode_payload = DecodePayload;
  const auto summary = wal::Inspect(files, directory, options, visitor);
  if (!summary.ok()) return Fail(summary.status());
  if (summary->status.code() == StatusCode::kNotFound) {
    return Fail(kError, summary->status.message() + "; name a replica's log: DIR/<node>/<group>/log");
  }
  std::cout << (summary->status.ok() ? "ok" : "damaged") << "  "
            << Grouped(static_cast<int64_t>(summary->records)) << " records in " << summary->segments
            << " segments, " << ToString(summary->base) << " < LSN <= " << ToString(summary->last)
            << ", durable for certain up to " << Raw(summary->durable);
  if (summary->torn_batches > 0) std::cout << ", " << summary->torn_batches << " torn batches at the end";
  std::cout << '\n';
  return summary->status.ok() ? kOk : Fail(kError, summary->status.message());
}

}  // namespace

void AddWal(CLI::App& app, Globals& globals) {
  CLI::App* wal = app.add_subcommand("wal", "look into a replica's log files, without changing them");
  wal->require_subcommand(1);
  auto directory = std::make_shared<std::string>();
  CLI::App* inspect = wal->add_subcommand("inspect", "print segments and records");
  inspect->add_option("DIRECTORY", *directory, "a replica's log directory")->required();
  inspect->footer("Example:\n  assent wal inspect assent-dev/n1/c1/log");
  inspect->callback([directory, &globals] {
    Printer printer(/*records=*/true);
    globals.exit_code = Walk(*directory, printer);
  });
  CLI::App* verify =
      wal->add_subcommand("verify", "check every record; exit code 1 if something durable is damaged");
  verify->add_option("DIRECTORY", *directory, "a replica's log directory")->required();
  verify->footer("Example:\n  assent wal verify assent-dev/n1/c1/log");
  verify->callback([directory, &globals] {
    wal::SilentVisitor silent;
    globals.exit_code = Walk(*directory, silent);
  });
}

}  // namespace assent::cli
