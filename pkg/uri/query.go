package uri

import (
	"strconv"
	"strings"
)

// parseParams splits a query as virURIParseParams does: at each &; at a ; only where no & follows any more. An empty
// part is skipped, a bare name has the value "", and "=value" is skipped.
func parseParams(q string) []Param {
	var ps []Param
	for q != "" {
		end := strings.IndexByte(q, '&')
		if end < 0 {
			end = strings.IndexByte(q, ';')
		}
		if end < 0 {
			end = len(q)
		}
		eq := strings.IndexByte(q[:end], '=')
		switch {
		case end == 0:
		case eq < 0:
			ps = append(ps, Param{Name: unescape(q[:end])})
		case eq == 0 && end == 1:
			// A lone "=": the decoder is handed the length 0, which means "to the end".
			ps = append(ps, Param{Name: unescape(q)})
		case eq == 0:
		default:
			ps = append(ps, Param{Name: unescape(q[:eq]), Value: unescape(q[eq+1 : end])})
		}
		q = q[end:]
		if q != "" {
			q = q[1:]
		}
	}
	return ps
}

// formatParams is virURIFormatParams: names as they are, values with nothing but RFC 3986's unreserved characters left
// bare.
func formatParams(ps []Param) string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.Name)
		b.WriteByte('=')
		escape(&b, p.Value, "-._~")
	}
	return b.String()
}

// escape writes s with everything escaped but letters, digits and the bytes in keep.
func escape(b *strings.Builder, s, keep string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; isAlpha(c) || isDigit(c) || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
}

// The bytes libxml2's xmlSaveUri leaves bare besides letters and digits (RFC 2396's sets).
const (
	keepMark     = "-_.!~*'()"
	keepUser     = keepMark + ";:&=+$,"
	keepPath     = keepMark + "/;@&=+$,"
	keepFragment = keepMark + ";/?:@&=+$,[]"
)

// String writes the reference as virURIFormat does: always with "//", the server in brackets when it holds a colon.
func (r Reference) String() string {
	var b strings.Builder
	if r.Scheme != "" {
		b.WriteString(r.Scheme)
		b.WriteByte(':')
	}
	b.WriteString("//")
	if r.User != nil {
		escape(&b, *r.User, keepUser)
		b.WriteByte('@')
	}
	if r.Server != nil {
		if strings.Contains(*r.Server, ":") {
			b.WriteString("[" + *r.Server + "]")
		} else {
			b.WriteString(*r.Server)
		}
		if r.Port > 0 {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(r.Port))
		}
	}
	if r.Path != nil {
		escape(&b, *r.Path, keepPath)
	}
	if r.Query != nil {
		b.WriteByte('?')
		b.WriteString(*r.Query)
	}
	if r.Fragment != nil {
		b.WriteByte('#')
		escape(&b, *r.Fragment, keepFragment)
	}
	return b.String()
}
