package bundle

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/conf"
)

// secretWord is what the names of secret settings have in them (vnc_password, tls_x509_secret_uuid), and other people's.
var secretWord = regexp.MustCompile(`(?i)passw|passphrase|secret|token|credential|private`)

// redactConf takes out of a configuration file what is nobody's business: the values of secret settings and of those that
// libvirt does not know (they may be misspelt secrets), and comments. Lines and types stay, so that the verdict does. It says
// what was taken out.
func redactConf(text []byte, name string) (out []byte, leftOut []string) {
	kind := conf.KindOf(name)
	f, err := conf.ParseFor(text, name, conf.Release{})
	if err != nil {
		return redactUnreadable(text, kind)
	}
	var keys []string
	rest := 0
	comments := false
	for e := range f.Entries() {
		between, blanked := blankComments(text[rest:e.Start])
		comments = comments || blanked
		out = append(out, between...)
		rest = e.End
		if public(kind, e.Key) {
			out = append(out, text[e.Start:e.End]...)
			continue
		}
		out = append(out, text[e.Start:e.Value.Start]...)
		out = append(out, placeholder(e.Value, strings.HasSuffix(e.Key, "_uuid"), bytes.Count(text[e.Value.Start:e.Value.End], []byte("\n")))...)
		out = append(out, text[e.Value.End:e.End]...)
		if word := fmt.Sprintf("the value of %s", plainKey(e.Key)); !slices.Contains(keys, word) {
			keys = append(keys, word)
		}
	}
	tail, blanked := blankComments(text[rest:])
	out = append(out, tail...)
	if comments || blanked {
		keys = append(keys, "comments")
	}
	return out, keys
}

// public reports whether a setting's value may be passed on.
func public(kind conf.Kind, key string) bool {
	_, known := conf.LookupSetting(kind, key)
	return known && !secretWord.MatchString(key)
}

func plainKey(key string) string {
	if len(key) > 60 {
		return "a setting"
	}
	return key
}

// placeholder stands for a value of the same type on as many lines.
func placeholder(v conf.Value, uuid bool, lines int) string {
	word := "left-out"
	if uuid {
		word = "00000000-0000-0000-0000-000000000000"
	}
	switch {
	case v.Type == conf.List:
		return "[" + strings.Repeat("\n", lines) + `"` + word + `"]`
	case v.Type != conf.String:
		return "0" + strings.Repeat("\n", lines)
	case lines > 0:
		return `"""` + word + strings.Repeat("\n", lines) + `"""`
	}
	return `"` + word + `"`
}

// blankComments empties the comments in what stands between two settings.
func blankComments(text []byte) (out []byte, some bool) {
	comment := false
	for _, c := range text {
		switch {
		case c == '\n' || c == '\r':
			comment = false
		case comment:
			some = true
			continue
		case c == '#':
			comment = true
		}
		out = append(out, c)
	}
	return out, some
}

var settingStart = regexp.MustCompile(`^[ \t]*([A-Za-z][A-Za-z0-9_.]*)`)

// redactUnreadable is redactConf for a file that libvirt cannot read: of it stays what begins with a setting's name, up to
// the next line that begins with a name, a comment or nothing.
func redactUnreadable(text []byte, kind conf.Kind) (out []byte, leftOut []string) {
	dropped, keeping := false, false
	for line := range bytes.Lines(text) {
		body := bytes.TrimRight(line, "\r\n")
		if m := settingStart.FindSubmatch(body); m != nil {
			keeping = public(kind, string(m[1]))
		} else if t := bytes.TrimSpace(body); len(t) == 0 || t[0] == '#' {
			keeping = false
		}
		if keeping && !secretWord.Match(body) && !bytes.ContainsAny(body, "#") {
			out = append(out, line...)
			continue
		}
		if keeping {
			keeping = !secretWord.Match(body)
		}
		dropped = dropped || len(bytes.TrimSpace(body)) > 0
		out = append(out, line[len(body):]...)
	}
	if dropped {
		leftOut = []string{"lines that are no settings or may be secret: the file breaks libvirt's grammar"}
	}
	return out, leftOut
}

// argumentName are the variables of argument files and units that the daemons, or libraries below them, look at.
var argumentName = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?((?:[A-Za-z0-9_]*(?:ARGS|OPTS|OPTIONS|opts))|(?:LIBVIRT|VIR|GNUTLS|SASL|XDG|KRB5|DAEMON)[A-Za-z0-9_]*|start_libvirtd|HOME|LANG|LC_ALL)[ \t]*=`)

// redactVariables keeps of an argument file what can concern the daemons.
func redactVariables(text []byte) (out []byte, leftOut []string) {
	return filterLines(text, func(line []byte) bool { return argumentName.Match(line) && !secretWord.Match(line) }, "variables that are not arguments, and comments")
}

// unitSecret are lines of units that have, or may have, secrets in them.
var unitSecret = regexp.MustCompile(`(?i)^[ \t]*(SetCredential|LoadCredential)`)

// redactUnit keeps a unit file but its comments and what may be secret.
func redactUnit(text []byte) (out []byte, leftOut []string) {
	return filterLines(text, func(line []byte) bool {
		t := bytes.TrimSpace(line)
		switch {
		case len(t) > 0 && (t[0] == '#' || t[0] == ';'):
			return false
		case bytes.HasPrefix(t, []byte("Condition")), bytes.HasPrefix(t, []byte("Assert")):
			return true // names of keys' files are no secrets
		case bytes.HasPrefix(t, []byte("Environment=")):
			for _, word := range words(t[len("Environment="):]) {
				if !argumentName.Match(word) {
					return false
				}
			}
		}
		// PrivateTmp= and its likes are no secrets.
		return !unitSecret.Match(t) && !secretWord.Match(bytes.ReplaceAll(t, []byte("Private"), nil))
	}, "comments and lines that may be secret")
}

// words splits a line as systemd does: at white space outside of quotes, which are left out.
func words(line []byte) (out [][]byte) {
	var word []byte
	quote, some := byte(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, some = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if some {
				out = append(out, word)
			}
			word, some = nil, false
		default:
			word, some = append(word, c), true
		}
	}
	if some {
		out = append(out, word)
	}
	return out
}

// redactSASL keeps the list of mechanisms.
func redactSASL(text []byte) (out []byte, leftOut []string) {
	return filterLines(text, func(line []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(line), []byte("mech_list:")) }, "all but mech_list")
}

// filterLines empties the lines that are not to be kept, and what a backslash continues them with.
func filterLines(text []byte, keep func(line []byte) bool, what string) (out []byte, leftOut []string) {
	continued, kept := false, false
	for line := range bytes.Lines(text) {
		body := bytes.TrimRight(line, "\r\n")
		if !continued {
			kept = keep(body)
		} else if secretWord.Match(body) {
			kept = false
		}
		continued = bytes.HasSuffix(body, []byte(`\`))
		if kept {
			out = append(out, line...)
			continue
		}
		if len(bytes.TrimSpace(body)) > 0 {
			leftOut = []string{what}
		}
		out = append(out, line[len(body):]...)
	}
	return out, leftOut
}
