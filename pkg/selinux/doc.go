// Package selinux tells which label a machine's policy has for a file, from the policy's own files: what restorecon(8) would set
// and matchpathcon(8) prints.
//
// Call [Load] with a function that reads files of the machine; it finds the policy that /etc/selinux/config names. [Policy.Label]
// gives the context of a path. [ReadMode] says whether the policy is enforced.
//
// The files are file_contexts with .homedirs, .local, .subs and .subs_dist, as selabel_file(5) of libselinux 3.4 reads them: which of
// several lines counts, what a line is for, and how paths are rewritten before. It was compared with matchpathcon of
// libselinux 3.4, path by path, with lines by chance and with the policy of Debian 12.
//
// Not done: the compiled .bin files, which say the same as the texts; what a label allows; the labels that a policy's
// type transitions give to new files. Expressions are PCRE's; what Go's package regexp cannot express, such as (?!...), is an
// [UnjudgedError] for the paths whose label depends on it.
package selinux
