// Which of Luau's own switches are on.
#pragma once

namespace motu {

// Before the first state is made.
void set_flags();

} // namespace motu
