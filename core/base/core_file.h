// What a program that holds a secret does first.
#pragma once

namespace quantized {

// From now on the calling process leaves no core file, whatever takes it (a file, or a program that
// the kernel pipes it to), and no other process of the same user can read its memory or
// environment. What it starts is not bound by this: exec ends it, unlike a limit (RLIMIT_CORE),
// which a worker would inherit.
// Price: files of /proc/self that only their owner may open or write belong to root.
void LeaveNoCoreFile();

}  // namespace quantized
