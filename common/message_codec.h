#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/messages.h"
#include "common/status.h"

// Messages between nodes as bytes: the fields of Envelope and of its message, in the order of their
// declaration (common/encoding.h). Both ends must be of the same kMessageFormat.
namespace assent {

// Rises with each change of a message's fields, or of the order of Message's alternatives.
inline constexpr int32_t kMessageFormat = 1;

inline constexpr size_t kDetailBytesMax = 1024;  // of `detail`, a text for people; a longer one is cut
inline constexpr size_t kNameBytesMax = 128;     // of a resource manager
inline constexpr size_t kParticipantsMax =
    2048;  // of one transaction: one for each slot, as many foreign ones

// Cut to kDetailBytesMax, at a character's boundary.
std::string CutDetail(std::string detail);

size_t EncodedMessageSize(const Envelope& envelope);
std::string EncodeMessage(const Envelope& envelope);

// kInvalid for bytes that EncodeMessage does not make, and for contents that no node of ours sends: the
// checks of C8, R4, R9 and of the limits of common/operations.h. Whatever the bytes, this does not crash.
Result<Envelope> DecodeMessage(std::string_view bytes);

}  // namespace assent
