// Package dnmatch says whom a libvirt daemon's tls_allowed_dn_list lets in, and why not.
//
// [NewList] compiles the entries, [List.Match] finds the first that lets a name in, [List.Decide] also explains a
// refusal: which pattern comes nearest and what is wrong with it. The name is the text of dn.Name.Text, the very bytes
// that GnuTLS gives libvirt. A single entry is a [Pattern].
//
// Two matchers have judged these lists. libvirt 9.0 to 12.8 call GLib's g_pattern_match_simple: * is any run of
// characters, ? is one character, everything else is literal, backslashes and brackets too. Older versions called
// fnmatch(pattern, name, 0) of the C library, with brackets and escapes; [Pattern.MatchFnmatch] follows that.
//
// GLib's matcher expects UTF-8 and does not check it. A name that is not valid UTF-8 can make it read beyond the end of
// the name ([Pattern.Overreads]) or end the process ([Pattern.Aborts]): a client certificate of a trusted CA can so end
// the daemon. Both count as no match here. Where GLib gives an answer for invalid UTF-8, that answer is given.
//
// For valid UTF-8 a pattern is translated for github.com/gobwas/glob, with everything but * and ? escaped, and matched
// by it. Two things it cannot do are done here: matching octets that are no UTF-8 (walk.go), and fnmatch, whose brackets
// know classes, equivalences, and rules for unclosed ones (fnmatch.go). Neither matcher is exponential: walk.go
// takes at most pattern times name steps, and takes over from gobwas/glob when wildcards and name are many and long.
//
// Confirmed against GLib 2.74.6 and glibc 2.36. The package does not read configuration files (pkg/conf does) and does
// not check certificates.
package dnmatch
