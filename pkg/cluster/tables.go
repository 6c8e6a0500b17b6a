package cluster

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Problem is one thing that is wrong in a cluster file.
type Problem struct {
	File string
	Line int // 0: of the file as a whole
	// Key is what it is about, without the indices of arrays: hosts.names.
	Key string
	// Message says what is wrong and what was meant to be there.
	Message string
	// Hint, if any, is what cures it.
	Hint string
}

// Error gives it in one line.
func (p *Problem) Error() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Message
}

// Hints gives the remedy.
func (p *Problem) Hints() []string {
	if p.Hint == "" {
		return nil
	}
	return []string{p.Hint}
}

// A FileError says everything that is wrong in a cluster file, in the order of its lines.
type FileError struct{ Problems []*Problem }

// Error gives all problems, one to a line.
func (e *FileError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the problems.
func (e *FileError) Unwrap() []error {
	var out []error
	for _, p := range e.Problems {
		out = append(out, p)
	}
	return out
}

// document is a text that is being read: what is in it, where, and what is wrong with it.
type document struct {
	file     string
	index    *lineIndex
	problems []*Problem
	// damaged says that lines were left out: what is missing may have been on them.
	damaged bool
	// asked are the keys of every table that the reader knows, without indices.
	asked map[string][]string
}

// Limits of what a cluster file may be: 10,000 hosts are some 2 MiB.
const (
	maxClusterFile = 64 << 20
	maxOpen        = 1000 // brackets
	maxRepairs     = 50
)

// duplicateMark begins the name of a table that takes the place of one that is there twice.
const duplicateMark = "virt-pki-duplicate-"

// parseTOML reads a text. What is not TOML, or there twice, is noted and left out, so that the rest is judged, too: the whole
// statement where a key is there twice, the line where it is no TOML.
func parseTOML(file string, text []byte) (*document, map[string]any) {
	d := &document{file: file, asked: map[string][]string{}}
	d.index = indexLines("")
	if len(text) > maxClusterFile {
		d.problem("", "", "the file is larger than %d MiB", maxClusterFile>>20)
		return d, nil
	}
	open := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open--
		}
		if open > maxOpen {
			d.problem("", "", "more than %d brackets are open", maxOpen)
			return d, nil
		}
	}
	work := string(text)
	for range maxRepairs {
		var m map[string]any
		_, err := toml.Decode(work, &m)
		if err == nil {
			d.index = indexLines(work)
			return d, m
		}
		var syntax toml.ParseError
		if !errors.As(err, &syntax) {
			d.problem("", "", "%v", err)
			return d, nil
		}
		line := syntax.Position.Line
		if twice := indexLines(work).twice; len(twice) > 0 && strings.Contains(syntax.Message, "already") {
			for _, s := range twice {
				d.problems = append(d.problems, &Problem{File: file, Line: s.first, Key: withoutIndices(s.path),
					Message: fmt.Sprintf("it is on line %d already", s.before), Hint: "keep one of the two"})
				work = leaveOut(work, s)
			}
			d.damaged = true
			continue
		}
		if d.damaged && len(d.problems) > 0 && line <= d.problems[len(d.problems)-1].Line+1 {
			return d, nil // it only follows from the one before
		}
		d.problems = append(d.problems, &Problem{File: file, Line: line, Key: syntax.LastKey, Message: syntaxMessage(syntax)})
		work = leaveOut(work, statement{first: line, last: line})
		d.damaged = true
	}
	return d, nil
}

// syntaxMessage words what is no TOML.
func syntaxMessage(e toml.ParseError) string {
	m := strings.TrimSpace(e.Message)
	if i := strings.IndexByte(m, '\n'); i >= 0 {
		m = m[:i]
	}
	return "this is not TOML: " + strings.TrimSuffix(m, ".")
}

// leaveOut blanks a statement. A header gets another name, so that what is below it does not fall to the table before it.
func leaveOut(text string, s statement) string {
	lines := strings.Split(text, "\n")
	for i := s.first - 1; i < min(s.last, len(lines)) && i >= 0; i++ {
		lines[i] = ""
		if s.header {
			lines[i] = "[" + duplicateMark + strconv.Itoa(s.first) + "]"
		}
	}
	return strings.Join(lines, "\n")
}

// withoutIndices takes the indices out of a path.
func withoutIndices(path string) string {
	var b strings.Builder
	quoted, depth := false, 0
	for i := range len(path) {
		switch c := path[i]; {
		case c == '"' && (i == 0 || path[i-1] != '\\'):
			quoted = !quoted
		case c == '[' && !quoted:
			depth++
			continue
		case c == ']' && !quoted:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// problem notes what is wrong at a path.
func (d *document) problem(path, hint, format string, a ...any) {
	d.problems = append(d.problems, &Problem{File: d.file, Line: d.index.lines[path], Key: withoutIndices(path),
		Message: fmt.Sprintf(format, a...), Hint: hint})
}

// err gives everything that was noted.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	sort.SliceStable(d.problems, func(i, j int) bool { return d.problems[i].Line < d.problems[j].Line })
	return &FileError{d.problems}
}

// A table is one that is being read. The keys that are asked for are those that there are: done says which others it has.
type table struct {
	doc    *document
	path   string
	values map[string]any
	asked  []string
}

func (d *document) table(path string, values map[string]any) *table {
	return &table{doc: d, path: path, values: values}
}

// get gives a value, and notes that there is such a key.
func (t *table) get(key string) (any, bool) {
	t.asked = append(t.asked, key)
	v, ok := t.values[key]
	return v, ok
}

func (t *table) at(key string) string { return joinKey(t.path, key) }

// wrong notes that a value is of another type.
func (t *table) wrong(path, want, example string, v any) {
	t.doc.problem(path, "write "+example, "%s is wanted, not %s", want, kindOfValue(v))
}

// kindOfValue names the type of a value.
func kindOfValue(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the text %q", clip(v))
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case bool:
		return fmt.Sprintf("%v", v)
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return fmt.Sprintf("%T", v)
}

// clip shortens a text for a message.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// text gives a text; example is how it is written.
func (t *table) text(key, example string) (string, bool) {
	v, ok := t.get(key)
	if !ok {
		return "", false
	}
	s, ok := v.(string)
	switch {
	case !ok:
		t.wrong(t.at(key), "a text", key+" = "+strconv.Quote(example), v)
	case strings.TrimSpace(s) == "":
		t.doc.problem(t.at(key), "write "+key+" = "+strconv.Quote(example)+", or leave the line out", "it is empty")
		ok = false
	}
	return s, ok
}

// texts gives a list of texts with the path of each.
func (t *table) texts(key, example string) (list, paths []string, there bool) {
	v, ok := t.get(key)
	if !ok {
		return nil, nil, false
	}
	write := key + " = [" + strconv.Quote(example) + "]"
	elements, ok := v.([]any)
	if !ok {
		if s, isText := v.(string); isText {
			write = key + " = [" + strconv.Quote(clip(s)) + "]"
		}
		if _, isTables := v.([]map[string]any); isTables {
			t.wrong(t.at(key), "a list of texts", write, v)
			return nil, nil, false
		}
		t.wrong(t.at(key), "a list of texts", write, v)
		return nil, nil, false
	}
	for i, e := range elements {
		path := t.at(key) + "[" + strconv.Itoa(i) + "]"
		s, ok := e.(string)
		switch {
		case !ok:
			t.wrong(path, "a text", write, e)
		case strings.TrimSpace(s) == "":
			t.doc.problem(path, "", "a text in the list is empty")
		default:
			list, paths = append(list, s), append(paths, path)
		}
	}
	return list, paths, true
}

// flag gives true or false.
func (t *table) flag(key string) bool {
	v, ok := t.get(key)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		t.wrong(t.at(key), "true or false, without quotes,", key+" = true", v)
	}
	return b
}

// sub gives a table; nil where there is none.
func (t *table) sub(key string) *table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.wrong(t.at(key), "a table", "["+t.at(key)+"] on a line of its own", v)
		return nil
	}
	return t.doc.table(t.at(key), m)
}

// each gives the tables of an array.
func (t *table) each(key string) []*table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	var list []map[string]any
	switch v := v.(type) {
	case []map[string]any:
		list = v
	case []any: // an array of inline tables comes so when it is empty or mixed
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				t.wrong(t.at(key)+"["+strconv.Itoa(i)+"]", "a table", "[["+key+"]] on a line of its own, and name = ... below it", e)
				continue
			}
			list = append(list, m)
		}
	default:
		t.wrong(t.at(key), "a list of tables", "[["+key+"]] on a line of its own, for each", v)
		return nil
	}
	out := make([]*table, len(list))
	for i, m := range list {
		out[i] = t.doc.table(t.at(key)+"["+strconv.Itoa(i)+"]", m)
	}
	return out
}

// done notes the keys that nobody asked for.
func (t *table) done() {
	where := withoutIndices(t.path)
	if t.doc.asked[where] == nil {
		t.doc.asked[where] = t.asked
	}
	known := map[string]bool{}
	for _, k := range t.asked {
		known[k] = true
	}
	for k := range t.values {
		if known[k] || t.path == "" && strings.HasPrefix(k, duplicateMark) {
			continue
		}
		hint := "the keys here are " + strings.Join(t.asked, ", ")
		message := "there is no such key"
		if near := nearest(k, t.asked); near != "" {
			hint = "did you mean " + near + "?"
		} else if where := t.doc.elsewhere(k); where != "" {
			hint = where
		}
		t.doc.problem(t.at(k), hint, "%s", message)
	}
}

// elsewhere says in which table a key belongs that is none here.
func (d *document) elsewhere(key string) string {
	var names []string
	for path, keys := range d.asked {
		for _, k := range keys {
			if k == key && path != "" {
				names = append(names, "["+path+"]")
			} else if k == key {
				names = append(names, "the top of the file")
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	sort.Strings(names)
	return "it belongs into " + strings.Join(names, " or ")
}

// nearest gives the candidate that a mistyped word was meant to be, or "": one that is few letters away. It is the rule
// of the command line.
func nearest(word string, candidates []string) string {
	best, least := "", 1+len(word)/3
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		d := distance(word, c)
		if len(word) >= 3 && (strings.HasPrefix(c, word) || strings.HasPrefix(word, c)) {
			d = 1
		}
		if strings.EqualFold(strings.ReplaceAll(word, "-", "_"), c) {
			d = 0
		}
		if d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			now[j] = min(replaced, last[j]+1, now[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
