#pragma once

#include <string>

#include "assent_types.h"
#include "common/client_api.h"
#include "common/status.h"

// The TransactionManager service: common/client_api.h to and from the requests and replies of assent.thrift,
// one overload for each method. Requests name cluster and group beside what client_api.h says; `group` of a
// request about an open transaction is its coordinator group.
namespace assent::codec {

// ---- Client side

wire::OpenSessionRequest EncodeRequest(const std::string& cluster, GroupId group, const OpenSession& request);
wire::ExecuteRequest EncodeRequest(const std::string& cluster, GroupId group, Execute&& request);
wire::BeginRequest EncodeRequest(const std::string& cluster, GroupId group, const Begin& request);
wire::WorkRequest EncodeRequest(const std::string& cluster, Work&& request);
wire::CommitRequest EncodeRequest(const std::string& cluster, Commit&& request);
wire::RollbackRequest EncodeRequest(const std::string& cluster, const Rollback& request);
wire::EnlistRequest EncodeRequest(const std::string& cluster, const Enlist& request);
wire::KeepAliveRequest EncodeRequest(const std::string& cluster, const KeepAlive& request);
wire::FinishedRequest EncodeRequest(const std::string& cluster, const Finished& request);

// kInvalid: not an answer to that request. Such a reply's meaning is not known: UNKNOWN, never a guess.
Result<ClientReply> DecodeReply(wire::OpenSessionReply&& in);
Result<ClientReply> DecodeReply(wire::ExecuteReply&& in, const CommitTag& asked);
Result<ClientReply> DecodeReply(wire::BeginReply&& in);
Result<ClientReply> DecodeReply(wire::WorkReply&& in, const TxnId& asked);
Result<ClientReply> DecodeReply(wire::CommitReply&& in, const CommitTag& asked);
Result<ClientReply> DecodeReply(wire::RollbackReply&& in, const TxnId& asked);
Result<ClientReply> DecodeReply(wire::EnlistReply&& in, const TxnId& asked);
Result<ClientReply> DecodeReply(wire::KeepAliveReply&& in, const TxnId& asked);
Result<ClientReply> DecodeReply(wire::FinishedReply&& in, const TxnId& asked);

// ---- Server side

// The group asked, and the request.
struct AddressedRequest {
  GroupId group;
  ClientRequest request;
};

// kInvalid: the message says what to change.
Result<AddressedRequest> DecodeRequest(wire::OpenSessionRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::ExecuteRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::BeginRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::WorkRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::CommitRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::RollbackRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::EnlistRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::KeepAliveRequest&& in);
Result<AddressedRequest> DecodeRequest(wire::FinishedRequest&& in);

wire::Refusal EncodeRefusal(Refusal&& refusal);
wire::Ending EncodeEnding(Ending&& ending);

// REQUIRES: a Refusal, or an alternative that answers the method: SessionOpened; Ending; Begun; WorkDone or
// Ending; Ending; RolledBack; EnlistedBranch or Ending; KeptAlive or Ending; FinishNoted.
void EncodeReply(ClientReply&& reply, wire::OpenSessionReply& out);
void EncodeReply(ClientReply&& reply, wire::ExecuteReply& out);
void EncodeReply(ClientReply&& reply, wire::BeginReply& out);
void EncodeReply(ClientReply&& reply, wire::WorkReply& out);
void EncodeReply(ClientReply&& reply, wire::CommitReply& out);
void EncodeReply(ClientReply&& reply, wire::RollbackReply& out);
void EncodeReply(ClientReply&& reply, wire::EnlistReply& out);
void EncodeReply(ClientReply&& reply, wire::KeepAliveReply& out);
void EncodeReply(ClientReply&& reply, wire::FinishedReply& out);

}  // namespace assent::codec
