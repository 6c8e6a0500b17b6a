package priority

// An entry is a name of a table. The zero entry has no name and is never found.
type entry struct {
	name         string
	since, until Release // first release that knows it, first that no longer does; zero: no bound
	pqc          bool    // known only to builds with post-quantum algorithms
}

// A table is a set of names that are looked up without regard to ASCII case.
type table struct {
	entries []entry
	index   map[string]uint8 // upper-case name to position
}

func newTable(entries []entry) *table {
	t := &table{entries: entries, index: make(map[string]uint8, len(entries))}
	for i, e := range entries {
		if e.name != "" {
			var buf [maxName]byte
			t.index[string(upper(buf[:0], e.name))] = uint8(i)
		}
	}
	return t
}

// maxName is longer than any name; a longer text is not looked up, so that the length of a string costs nothing.
const maxName = 40

// upper appends the ASCII upper-case form of s.
func upper(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// lookup finds a name among those the build of GnuTLS knows.
func (t *table) lookup(name string, b build) (uint8, bool) {
	if len(name) > maxName {
		return 0, false
	}
	var buf [maxName]byte
	i, ok := t.index[string(upper(buf[:0], name))]
	if !ok || !t.entries[i].knownTo(b) {
		return 0, false
	}
	return i, true
}

func (e entry) knownTo(b build) bool {
	return !b.release.Before(e.since) && (e.until == Release{} || b.release.Before(e.until)) && (!e.pqc || b.pqc)
}

// name gives the name of an entry, as GnuTLS prints it.
func (t *table) name(i uint8) string {
	if int(i) < len(t.entries) && t.entries[i].name != "" {
		return t.entries[i].name
	}
	return "(null)"
}

// names gives the names of a list.
func (t *table) names(l *list) []string {
	out := make([]string, l.n)
	for i, id := range l.all() {
		out[i] = t.name(id)
	}
	return out
}

// A list is an ordered list without duplicates: what "+" and "-" work on. No table has more than 63 entries, so
// GnuTLS's own limit of 128 is never reached.
type list struct {
	n    uint8
	ids  [63]uint8
	bits set
}

// A set holds entries of a table without order.
type set uint64

func (s set) has(id uint8) bool { return s&(1<<id) != 0 }

func (s *set) add(id uint8) { *s |= 1 << id }

func (l *list) all() []uint8 { return l.ids[:l.n] }

func (l *list) has(id uint8) bool { return l.bits.has(id) }

// add appends what is missing; an entry that is there keeps its place.
func (l *list) add(ids ...uint8) {
	for _, id := range ids {
		if !l.bits.has(id) {
			l.ids[l.n] = id
			l.n++
			l.bits.add(id)
		}
	}
}

// remove takes entries out; the others keep their order.
func (l *list) remove(ids ...uint8) {
	var s set
	for _, id := range ids {
		s.add(id)
	}
	l.removeSet(s)
}

func (l *list) removeSet(s set) {
	if l.bits&s == 0 {
		return
	}
	var n uint8
	for _, id := range l.all() {
		if !s.has(id) {
			l.ids[n] = id
			n++
		}
	}
	l.n = n
	l.bits &^= s
}

func (l *list) clear() { *l = list{} }
