package hint

import "strings"

// Of gives the hints of an error and of all its causes, the outermost first.
func Of(err error) (out []string) {
	if h, ok := err.(interface{ Hints() []string }); ok {
		out = append(out, h.Hints()...)
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		out = append(out, Of(u.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, c := range u.Unwrap() {
			out = append(out, Of(c)...)
		}
	}
	return out
}

// plain are the characters that mean nothing to a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+%"

// Word writes a path as one word of a shell's command line, which no program takes for an option: paths come from other people's
// machines, and hints are copied into a root shell.
func Word(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	if path != "" && strings.Trim(path, plain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
