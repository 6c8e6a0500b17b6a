package unit

import (
	"fmt"
	"strconv"
	"strings"
)

// Arguments are what a daemon makes of its command line.
type Arguments struct {
	Listen  bool
	Verbose bool
	// Timeout is after how many seconds without a client and a running guest the daemon ends; 0: never.
	Timeout int
	// Config is the configuration file; empty: the default one. Configured says that it was given.
	Config     string
	Configured bool
	// Word and TimeoutWord are the arguments that said so, as they were written.
	Word, TimeoutWord string
	// Prints says that it prints its help or its version, and ends.
	Prints bool
}

// An ArgumentError is the daemon's no to its arguments; it ends with exit status 1.
type ArgumentError struct {
	// Text is what it prints, without program and log prefix, and Word the argument it is about.
	Text, Word string
}

func (e *ArgumentError) Error() string { return e.Text }

// maxTimeout is the longest --timeout: as milliseconds it fits into an int.
const maxTimeout = 2147483

// leadingNumber reads a decimal number as virStrToLong_i does when something may follow it.
func leadingNumber(s string) (int, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 10, 32)
	return int(n), err == nil
}

type option struct {
	long  string
	short byte
	value bool
}

// ParseArguments reads arguments as main of remote_daemon.c does, with getopt_long: options may be shortened as long as
// they are told apart, and short ones joined. daemon is "libvirtd" or another, which has no --listen; program is the name in
// error texts. What the daemon refuses is an *ArgumentError.
func ParseArguments(daemon, program string, args []string) (Arguments, error) {
	var a Arguments
	options := []option{{"verbose", 'v', false}, {"daemon", 'd', false}, {"config", 'f', true}, {"timeout", 't', true},
		{"pid-file", 'p', true}, {"version", 'V', false}, {"help", 'h', false}}
	if daemon == "libvirtd" {
		options = append(options, option{"listen", 'l', false})
	}
	refuse := func(word, format string, v ...any) (Arguments, error) {
		return a, &ArgumentError{Text: program + ": " + fmt.Sprintf(format, v...), Word: word}
	}
	apply := func(o option, word, value string) error {
		switch o.short {
		case 'l':
			a.Listen, a.Word = true, word
		case 'v':
			a.Verbose = true
		case 'h', 'V':
			a.Prints = true
		case 'f':
			a.Config, a.Configured = value, true
		case 't':
			n, ok := leadingNumber(value)
			if !ok || n < 0 || n > maxTimeout {
				return &ArgumentError{Text: "Invalid value for timeout", Word: word}
			}
			a.Timeout, a.TimeoutWord = n, word
		}
		return nil
	}
	stray := ""
	for i := 0; i < len(args); i++ {
		w := args[i]
		switch {
		case w == "--":
			if i+1 < len(args) && stray == "" {
				stray = args[i+1]
			}
			i = len(args)
		case strings.HasPrefix(w, "--"):
			name, value, joined := strings.Cut(w[2:], "=")
			var hits []option
			for _, o := range options {
				if o.long == name {
					hits = []option{o}
					break
				}
				if strings.HasPrefix(o.long, name) {
					hits = append(hits, o)
				}
			}
			if len(hits) > 1 {
				var names []string
				for _, h := range hits {
					names = append(names, "'--"+h.long+"'")
				}
				return refuse(w, "option '%s' is ambiguous; possibilities: %s", w, strings.Join(names, " "))
			}
			if len(hits) == 0 {
				return refuse(w, "unrecognized option '%s'", w)
			}
			o := hits[0]
			switch {
			case joined && !o.value:
				return refuse(w, "option '--%s' doesn't allow an argument", o.long)
			case o.value && !joined && i+1 == len(args):
				return refuse(w, "option '--%s' requires an argument", o.long)
			case o.value && !joined:
				i++
				value = args[i]
			}
			if err := apply(o, w, value); err != nil || a.Prints {
				return a, err
			}
		case len(w) > 1 && w[0] == '-':
			for j := 1; j < len(w); j++ {
				k := 0
				for k < len(options) && options[k].short != w[j] {
					k++
				}
				if k == len(options) {
					return refuse(w, "invalid option -- '%c'", w[j])
				}
				o, value := options[k], ""
				if o.value {
					if value = w[j+1:]; value == "" {
						if i++; i == len(args) {
							return refuse(w, "option requires an argument -- '%c'", w[j])
						}
						value = args[i]
					}
					j = len(w)
				}
				if err := apply(o, w, value); err != nil || a.Prints {
					return a, err
				}
			}
		case stray == "":
			stray = w
		}
	}
	if stray != "" {
		return refuse(stray, "unexpected, non-option, command line arguments")
	}
	return a, nil
}
