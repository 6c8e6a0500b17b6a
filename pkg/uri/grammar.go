package uri

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
)

// A Reference is a URI taken apart, as virURIParse in libvirt does it with libxml2's xmlParseURI. Absent and empty parts
// are told apart where libvirt does.
type Reference struct {
	// Scheme is empty when there is none.
	Scheme string
	// User is everything before the @, decoded; libvirt does not split a password off. Nil: none.
	User *string
	// Server is decoded and without the brackets of an IPv6 address. Nil: none, which an empty authority is too.
	Server *string
	// Port is 0 when there is none or when there is no server.
	Port int
	// Path is decoded. Nil: none.
	Path *string
	// Query is kept as written. Nil: none.
	Query *string
	// Fragment is decoded. Nil: none.
	Fragment *string
	// Params are the parts of the query, decoded, in the order written.
	Params []Param
}

// A Param is one name=value of a query.
type Param struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var errGrammar = errors.New("not a URI")

// ParseReference takes text apart (virURIParse). It accepts relative references too, as libvirt does at this point;
// whether there must be a scheme is for the caller to say.
func ParseReference(text string) (Reference, error) {
	if i := strings.IndexByte(text, 0); i >= 0 {
		text = text[:i] // as C sees it
	}
	r, ok := parseAbsolute(text)
	if !ok {
		if r, ok = parseRelative(text); !ok {
			return Reference{}, errGrammar
		}
	}
	if r.Server == nil || *r.Server == "" {
		r.Port = 0
	} else if s := *r.Server; s[0] == '[' && s[len(s)-1] == ']' && strings.Contains(s, ":") {
		s = s[1 : len(s)-1] // virStringStripIPv6Brackets
		r.Server = &s
	}
	if r.Query != nil {
		r.Params = parseParams(*r.Query)
	}
	return r, nil
}

// parseAbsolute reads scheme ":" hier-part [ "?" query ] [ "#" fragment ] (RFC 3986 section 3, xmlParse3986URI).
func parseAbsolute(s string) (r Reference, ok bool) {
	n := 0
	for n < len(s) && (isAlpha(s[n]) || n > 0 && (isDigit(s[n]) || strings.IndexByte("+-.", s[n]) >= 0)) {
		n++
	}
	if n == 0 || n == len(s) || s[n] != ':' {
		return r, false
	}
	r.Scheme = s[:n]
	return r, r.parseRest(s[n+1:], false)
}

// parseRelative reads relative-ref (RFC 3986 section 4.2, xmlParse3986RelativeRef).
func parseRelative(s string) (r Reference, ok bool) {
	return r, r.parseRest(s, true)
}

// parseRest reads what follows the scheme. In a relative reference the first segment of a path without a leading slash
// has no colon.
func (r *Reference) parseRest(s string, relative bool) bool {
	switch {
	case strings.HasPrefix(s, "//"):
		var ok bool
		if s, ok = r.parseAuthority(s[2:]); !ok {
			return false
		}
		n := 0
		for n < len(s) && s[n] == '/' {
			n++
			n += pchars(s[n:], "")
		}
		s = r.takePath(s, n)
	case strings.HasPrefix(s, "/"):
		n := 1
		if m := pchars(s[n:], ""); m > 0 {
			n += m
			for n < len(s) && s[n] == '/' {
				n++
				n += pchars(s[n:], "")
			}
		}
		s = r.takePath(s, n)
	default:
		n := 0
		if pchars(s, "") > 0 { // the path is empty otherwise
			if relative {
				n = segmentNoColon(s)
			} else {
				n = pchars(s, "")
			}
			if n == 0 {
				return false
			}
			for n < len(s) && s[n] == '/' {
				n++
				n += pchars(s[n:], "")
			}
		}
		s = r.takePath(s, n)
	}
	if strings.HasPrefix(s, "?") {
		n := pchars(s[1:], "/?")
		q := s[1 : 1+n]
		r.Query, s = &q, s[1+n:]
	}
	if strings.HasPrefix(s, "#") {
		n := pchars(s[1:], "/?[]")
		f := unescape(s[1 : 1+n])
		r.Fragment, s = &f, s[1+n:]
	}
	return s == ""
}

// takePath takes n bytes as the path; none of them is no path.
func (r *Reference) takePath(s string, n int) string {
	if n > 0 {
		p := unescape(s[:n])
		r.Path = &p
	}
	return s[n:]
}

// segmentNoColon measures a first segment that must not hold a colon (segment-nz-nc).
func segmentNoColon(s string) int {
	n := 0
	for n < len(s) && s[n] != ':' {
		m := pchar(s[n:], "")
		if m == 0 {
			break
		}
		n += m
	}
	return n
}

// parseAuthority reads [ userinfo "@" ] host [ ":" port ] (xmlParse3986Authority) and gives what follows it.
func (r *Reference) parseAuthority(s string) (rest string, ok bool) {
	n := 0
	for n < len(s) {
		m := pchar(s[n:], "")
		if m == 0 || s[n] == '@' {
			break
		}
		n += m
	}
	if n < len(s) && s[n] == '@' {
		u := unescape(s[:n])
		if n == 0 {
			// libxml2 hands its decoder the length 0, which means "to the end" there: an empty user becomes all that
			// follows, @ included.
			u = unescape(s)
		}
		r.User, s = &u, s[n+1:]
	}

	n = 0
	if strings.HasPrefix(s, "[") {
		if n = strings.IndexByte(s, ']') + 1; n == 0 {
			return "", false
		}
	} else {
		for n < len(s) {
			m := pchar(s[n:], "")
			if m == 0 || s[n] == ':' || s[n] == '@' {
				break
			}
			n += m
		}
	}
	if n > 0 {
		h := unescape(s[:n])
		r.Server, s = &h, s[n:]
	}

	if strings.HasPrefix(s, ":") {
		n = 1
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		port, err := strconv.ParseInt(s[1:n], 10, 64)
		if err != nil || port > math.MaxInt32 {
			return "", false
		}
		r.Port, s = int(port), s[n:]
	}
	return s, true
}

// pchars measures the run of pchar (RFC 3986 section 3.3) and of the bytes in also at the start of s.
func pchars(s, also string) int {
	n := 0
	for n < len(s) {
		m := pchar(s[n:], also)
		if m == 0 {
			break
		}
		n += m
	}
	return n
}

// pchar measures the one pchar at the start of s: 3 for a percent escape, 0 for none.
func pchar(s, also string) int {
	switch c := s[0]; {
	case isAlpha(c), isDigit(c), strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0, strings.IndexByte(also, c) >= 0:
		return 1
	case c == '%' && len(s) > 2 && isHex(s[1]) && isHex(s[2]):
		return 3
	}
	return 0
}

// unescape decodes percent escapes as xmlURIUnescapeString does. A %00 ends the string, as in C.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			c := unhex(s[i+1])<<4 | unhex(s[i+2])
			if c == 0 {
				break
			}
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
