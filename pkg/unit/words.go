package unit

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A quoting says how a text is cut into words.
type quoting struct {
	// unescape reads C's escapes (\n, \x41) and refuses others; without it a backslash takes the next character as it is.
	unescape bool
	// relaxed takes quotes that are not closed as they are, and leaves a backslash at the end out.
	relaxed bool
}

// words cuts a text at white space. Quotes keep words together, wherever they stand in a word, and backslashes count in
// both kinds of quotes (systemd extract_first_word).
func words(s string, q quoting) ([]string, error) {
	var out []string
	for {
		s = strings.TrimLeft(s, whitespace)
		if s == "" {
			return out, nil
		}
		word, rest, err := firstWord(s, q)
		if err != nil {
			return nil, err
		}
		out, s = append(out, word), rest
	}
}

// commandWords cuts the first command off a line of ExecStart=. A ; that stands alone ends it, and more says that another one
// follows; \; alone is the word ; (systemd config_parse_exec).
func commandWords(s string) (out []string, more bool, err error) {
	alone := func(p string) bool {
		return s == p || len(s) > len(p) && s[:len(p)] == p && strings.IndexByte(whitespace, s[len(p)]) >= 0
	}
	for {
		s = strings.TrimLeft(s, whitespace)
		switch {
		case s == "":
			return out, false, nil
		case alone(";"):
			return out, strings.Trim(s[1:], whitespace+";") != "", nil
		case alone(`\;`):
			out, s = append(out, ";"), s[2:]
			continue
		}
		word, rest, err := firstWord(s, quoting{unescape: true})
		if err != nil {
			return nil, false, err
		}
		out, s = append(out, word), rest
	}
}

func firstWord(s string, q quoting) (word, rest string, err error) {
	var w strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 == len(s):
			if !q.relaxed {
				return "", "", fmt.Errorf("a backslash at the end escapes nothing")
			}
		case c == '\\' && q.unescape:
			text, n, ok := unescape(s[i+1:])
			if !ok {
				return "", "", fmt.Errorf("the escape sequence %q is unknown", s[i:min(len(s), i+2)])
			}
			w.WriteString(text)
			i += n
		case c == '\\':
			i++
			w.WriteByte(s[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			w.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(whitespace, c) >= 0:
			return w.String(), s[i:], nil
		default:
			w.WriteByte(c)
		}
	}
	if quote != 0 && !q.relaxed {
		return "", "", fmt.Errorf("the quote %c is not closed", quote)
	}
	return w.String(), "", nil
}

// unescape reads what follows a backslash and says how long it was (systemd cunescape_one).
func unescape(s string) (text string, n int, ok bool) {
	if i := strings.IndexByte(`abfnrtv\"'s`, s[0]); i >= 0 {
		return "\a\b\f\n\r\t\v\\\"' "[i : i+1], 1, true
	}
	digits, base, start := 0, 16, 1
	switch {
	case s[0] == 'x':
		digits = 2
	case s[0] == 'u':
		digits = 4
	case s[0] == 'U':
		digits = 8
	case s[0] >= '0' && s[0] <= '7':
		digits, base, start = 3, 8, 0
	}
	if digits == 0 || len(s) < start+digits {
		return "", 0, false
	}
	v, err := strconv.ParseUint(s[start:start+digits], base, 32)
	if err != nil || v == 0 || strings.ContainsAny(s[start:start+digits], "+_") {
		return "", 0, false
	}
	if digits == 2 || base == 8 {
		if v > 0xff {
			return "", 0, false
		}
		return string([]byte{byte(v)}), start + digits, true
	}
	if !utf8.ValidRune(rune(v)) {
		return "", 0, false
	}
	return string(rune(v)), start + digits, true
}
