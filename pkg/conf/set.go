package conf

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A NewValue is a value to be written: an int64 (or int, or bool), a string, or a []string.
type NewValue any

// A ValueError is a value that cannot be written for a setting.
type ValueError struct {
	Key    string
	Reason string
	hints  []string
}

// Error names setting and reason.
func (e *ValueError) Error() string { return fmt.Sprintf("setting %q: %s", e.Key, e.Reason) }

// Hints says what would do.
func (e *ValueError) Hints() []string { return e.hints }

// ParseValue reads a value as a person types it for a setting on a command line: 1 or yes for a bool, text with or
// without quotes for a string, [ "a", "b" ] or one bare text for a list. The setting's type decides; keys that are not
// known take what libvirt's own syntax says.
func ParseValue(k Kind, key, text string) (NewValue, error) {
	s, known := LookupSetting(k, key)
	literal, isLiteral := parseLiteral(text)
	wrong := func(reason string) (NewValue, error) {
		return nil, &ValueError{Key: key, Reason: reason, hints: []string{fmt.Sprintf("%s takes %s", key, describeType(s))}}
	}
	if !known || s.Type == TypeAny || s.Type == TypeLimit {
		if !isLiteral {
			return text, nil
		}
		return newValue(literal), nil
	}
	switch s.Type {
	case TypeBool:
		switch strings.ToLower(text) {
		case "1", "yes", "true", "on":
			return true, nil
		case "0", "no", "false", "off":
			return false, nil
		}
		return wrong(fmt.Sprintf("%q is neither 0 nor 1", text))
	case TypeInt, TypeUint:
		bits, least := 33, int64(0)
		if s.Type == TypeInt {
			bits, least = 32, -1<<31
		}
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil || n < least {
			return wrong(fmt.Sprintf("%q is no number in range", text))
		}
		return n, nil
	case TypeStrings, TypeStringOrStrings:
		if isLiteral && literal.Type == List {
			items, ok := literal.Strings()
			if !ok {
				return wrong("an element of the list is no string")
			}
			return items, nil
		}
		if isLiteral && literal.Type == String {
			return []string{literal.Text}, nil
		}
		return []string{text}, nil
	}
	if isLiteral && literal.Type == String {
		return literal.Text, nil
	}
	if isLiteral && literal.Type == List {
		return wrong("a list, where one string is wanted")
	}
	return text, nil
}

func describeType(s Setting) string {
	if s.Range != "" {
		return s.Type.String() + ": " + s.Range
	}
	return s.Type.String()
}

func parseLiteral(text string) (Value, bool) {
	f, err := ParseFor([]byte("x="+text), "value", Release11_3)
	if err != nil || f.Len() != 1 {
		return Value{}, false
	}
	e := f.entry(0)
	return e.Value, e.Comment == "" && strings.TrimRight(text[e.End-2:], " \t") == ""
}

func newValue(v Value) NewValue {
	switch v.Type {
	case Integer:
		return v.Int
	case List:
		if items, ok := v.Strings(); ok {
			return items
		}
	}
	return v.Text
}

// quote writes a string in the form that its content and the neighbourhood ask for. There are no escapes: the quotes are
// chosen by what is inside.
func quote(s, prefer string) (string, error) {
	switch {
	case strings.ContainsRune(s, 0):
		return "", fmt.Errorf("a NUL, where libvirt ends the text")
	case !strings.ContainsAny(s, "\r\n"):
		for _, q := range []string{prefer, `"`, `'`} {
			if (q == `"` || q == `'`) && !strings.Contains(s, q) {
				return q + s + q, nil
			}
		}
	}
	// What stands in triple quotes ends at the first three: neither inside nor across the end may there be such.
	if strings.Contains(s+`"""`, `"""`) && strings.Index(s+`"""`, `"""`) == len(s) {
		return `"""` + s + `"""`, nil
	}
	return "", fmt.Errorf("no kind of quotes can hold it: libvirt's strings have no escapes")
}

// Set changes a setting and gives the new file; f stays as it is. Where the key stands, its value is replaced and
// nothing else; of several with that key the first is changed, the one that libvirt reads. Elements of a list that stay
// keep their lines; the style of a list over several lines is kept. A key that does not stand in the file goes behind the
// comment that shows it (as in libvirt's own files, "#key = ..."), else to the end.
//
// Whether libvirt knows the key and takes the value is not looked at: see [ParseValue] and [Lint].
func (f *File) Set(key string, v NewValue) (*File, error) {
	if !validKey(key) {
		return nil, &ValueError{Key: key, Reason: "not a name: a letter, then letters, digits and _"}
	}
	old, exists := f.Lookup(key)
	text, err := f.render(old.Value, v)
	if err != nil {
		return nil, &ValueError{Key: key, Reason: err.Error()}
	}
	if exists {
		return f.reparse(key, f.text[:old.Value.Start]+text+f.text[old.Value.End:])
	}
	return f.reparse(key, f.insert(key, text))
}

func (f *File) reparse(key, text string) (*File, error) {
	n, err := parse(text, f.name, Release{})
	if err != nil {
		return nil, fmt.Errorf("setting %q: the new file would not be read: %w", key, err)
	}
	return n, nil
}

func validKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; !isAlpha(c) && (i == 0 || !isDigit(c) && c != '_') {
			return false
		}
	}
	return key != ""
}

// render writes a value in the style of the one that it replaces.
func (f *File) render(old Value, v NewValue) (string, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint32:
		return strconv.FormatUint(uint64(v), 10), nil
	case string:
		return quote(v, old.Quote)
	case []string:
		return f.renderList(old, v)
	}
	return "", fmt.Errorf("a %T cannot be written", v)
}

// renderList writes a list. Elements that stay are copied with their quotes; indentation and a trailing comma are those
// of the old list.
func (f *File) renderList(old Value, items []string) (string, error) {
	quoted := map[string]string{}
	prefer := ""
	var first, second, last Value
	had := 0
	for i := range old.Items() {
		switch had {
		case 0:
			first = i
		case 1:
			second = i
		}
		had, last = had+1, i
		if i.Type == String {
			quoted[i.Text] = f.text[i.Start:i.End]
			prefer = i.Quote
		}
	}
	words := make([]string, len(items))
	for n, s := range items {
		if q, ok := quoted[s]; ok {
			words[n] = q
			continue
		}
		q, err := quote(s, prefer)
		if err != nil {
			return "", fmt.Errorf("element %d: %w", n+1, err)
		}
		words[n] = q
	}
	if len(words) == 0 {
		return "[]", nil
	}
	open, sep, end := "[ ", ", ", " ]"
	if had > 0 {
		open = f.text[old.Start:first.Start]
		end = f.text[last.End:old.End]
		if had > 1 {
			sep = f.text[first.End:second.Start]
		} else if i := strings.LastIndexByte(open, '\n'); i >= 0 {
			sep = "," + open[1:]
		}
	}
	return open + strings.Join(words, sep) + end, nil
}

// newline is the line end that the file uses.
func (f *File) newline() string {
	if i := strings.IndexByte(f.text, '\n'); i > 0 && f.text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// insert puts a new setting behind the last comment that shows it, or at the end.
func (f *File) insert(key, text string) string {
	line := key + f.assignment() + text
	at := -1
	for pos := 0; pos < len(f.text); {
		end := pos + strings.IndexByte(f.text[pos:], '\n')
		if end < pos {
			end = len(f.text) - 1
		}
		if f.shows(pos, end, key) {
			at = end + 1
		}
		pos = end + 1
	}
	if at < 0 {
		at = len(f.text)
	}
	before, after := "", f.newline()
	if at > 0 && f.text[at-1] != '\n' {
		before = f.newline()
	}
	return f.text[:at] + before + line + after + f.text[at:]
}

// shows reports whether the line of src[pos:end+1] is a comment "#key =" outside of any value whose list, if it has one,
// ends on that line.
func (f *File) shows(pos, end int, key string) bool {
	l := strings.TrimRight(f.text[pos:end+1], " \t\r\n")
	rest, ok := strings.CutPrefix(l, "#")
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), key)
	rest = strings.TrimLeft(rest, " \t")
	if !ok || len(rest) == 0 || rest[0] != '=' || strings.HasSuffix(rest, "[") || strings.HasSuffix(rest, ",") {
		return false
	}
	// Not in a string of several lines.
	next := sort.Search(f.Len(), func(i int) bool { return int(f.spots[i].start) >= pos })
	return next == 0 || pos >= f.entry(next-1).End
}

// assignment is the equals sign as the file's first setting has it.
func (f *File) assignment() string {
	if f.Len() == 0 {
		return " = "
	}
	e := f.entry(0)
	a := f.text[e.Start+len(e.Key) : e.Value.Start]
	if strings.Contains(a, "\t") || len(a) > 3 {
		return " = " // aligned with its neighbours, not with the new one
	}
	return a
}

// Unset takes a setting out: every line with this key, so that no other comes to light. Comments stay, also one behind
// the value.
func (f *File) Unset(key string) (*File, error) {
	// From the end to the beginning, since what stays behind a setting decides how much of its line goes: buf[at:] is what
	// stays of the text from octet rest on.
	buf := []byte(f.text)
	at, rest := len(buf), len(buf)
	keep := func(from int) {
		at -= rest - from
		copy(buf[at:], f.text[from:rest])
	}
	for i := f.Len() - 1; i >= 0; i-- {
		if f.key(i) != key {
			continue
		}
		e := f.entry(i)
		keep(e.End)
		from, to := extent(f.text[:e.Start], buf[at:])
		at, rest = at+to, from
	}
	keep(0)
	text := string(buf[at:])
	if strings.Trim(text, " \t\r\n") == "" {
		text = "" // a file of nothing but blanks is an error
	}
	return f.reparse(key, text)
}

// extent says what goes together with a setting: what stands in front of it from octet from on, and what stands behind it
// up to octet to.
func extent(before string, behind []byte) (from, to int) {
	from = len(before)
	lineStart := len(strings.TrimRight(before, " \t"))
	alone := lineStart == 0 || isEOL(before[lineStart-1])
	to = skipBlanks(behind, 0)
	switch {
	case to < len(behind) && behind[to] == ';':
		to = skipBlanks(behind, to+1)
		if alone && (to == len(behind) || isEOL(behind[to])) {
			from, to = lineStart, endOfLine(behind, to)
		}
	case to < len(behind) && behind[to] == '#': // the comment stays; behind a ; it may stand as well
	case alone:
		from, to = lineStart, endOfLine(behind, to)
	default: // the last of a line: the ; in front of it may stay
	}
	return from, to
}

func skipBlanks(text []byte, at int) int {
	for at < len(text) && isBlank(text[at]) {
		at++
	}
	return at
}

func endOfLine(text []byte, at int) int {
	if at < len(text) && text[at] == '\r' {
		at++
	}
	if at < len(text) && text[at] == '\n' {
		at++
	}
	return at
}

// validText reports whether a string can be compared with a name that GnuTLS gives.
func validText(s string) bool { return utf8.ValidString(s) }
