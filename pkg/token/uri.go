package token

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A URI names a key in a token (RFC 7512). Texts are nil where the URI does not have the attribute: then any value fits.
type URI struct {
	// The token: CK_TOKEN_INFO.
	Token, Manufacturer, Model, Serial *string
	// The slot: CK_SLOT_INFO and its number.
	SlotDescription, SlotManufacturer *string
	SlotID                            *uint64
	// The module: CK_INFO.
	LibraryDescription, LibraryManufacturer, LibraryVersion *string
	// The key: CKA_LABEL and CKA_ID. Type is CKA_CLASS: "private", or "" for the same.
	Object *string
	ID     []byte
	Type   string
	// PINSource is a file with the PIN, PINValue the PIN itself.
	PINSource, PINValue *string
	// ModulePath is the module's file or its directory, ModuleName its name without lib and .so.
	ModulePath, ModuleName string
}

// Scheme is how the URI of a key in a token begins.
const Scheme = "pkcs11:"

// IsURI reports whether a text is meant as the URI of a key in a token. Schemes are written in any case (RFC 3986, 3.1).
func IsURI(text string) bool {
	return len(text) >= len(Scheme) && strings.EqualFold(text[:len(Scheme)], Scheme)
}

// A URIError says what is wrong with a URI, and where.
type URIError struct {
	// Offset is the octet at which the fault is.
	Offset  int
	Problem string
	hint    string
}

// Error gives the fault. The URI is not repeated: it may hold a PIN.
func (e *URIError) Error() string { return fmt.Sprintf("at character %d: %s", e.Offset+1, e.Problem) }

// Hints says what to do.
func (e *URIError) Hints() []string {
	if e.hint == "" {
		return nil
	}
	return []string{e.hint}
}

// maxURI bounds the length of a URI.
const maxURI = 8 << 10

// ParseURI reads a URI by RFC 7512, 2.3. Attributes that it does not know are refused, since what they would narrow down is not
// known either; so are two of the same.
func ParseURI(text string) (URI, error) {
	var u URI
	switch {
	case !IsURI(text):
		return u, &URIError{0, "it does not begin with pkcs11:", "pkcs11:token=TOKEN;object=KEY"}
	case len(text) > maxURI:
		return u, &URIError{maxURI, fmt.Sprintf("it is longer than %d characters", maxURI), ""}
	}
	path, query, hasQuery := strings.Cut(text[len(Scheme):], "?")
	seen := map[string]bool{}
	if err := u.attributes(path, ";", len(Scheme), false, seen); err != nil {
		return URI{}, err
	}
	if hasQuery {
		if err := u.attributes(query, "&", len(Scheme)+len(path)+1, true, seen); err != nil {
			return URI{}, err
		}
	}
	return u, nil
}

// attributes reads one of the two parts of a URI, which begins at an offset.
func (u *URI) attributes(part, separator string, offset int, query bool, seen map[string]bool) error {
	if part == "" {
		return nil
	}
	for _, a := range strings.Split(part, separator) {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case a == "":
			return &URIError{offset, "an attribute is missing", ""}
		case !ok && seen["pin-value"]: // it may be the rest of a PIN with an & in it
			return &URIError{offset, "an attribute has no value", "attributes are written name=value; an & in a value is written %26"}
		case !ok:
			return &URIError{offset, fmt.Sprintf("%q has no value", nameAlone(name)), "attributes are written name=value"}
		case seen[name]:
			return &URIError{offset, fmt.Sprintf("a second %q", printable(name)), ""}
		}
		seen[name] = true
		at, err := -len(name)-1, known(name, query)
		if err != nil && seen["pin-value"] {
			err = &hinted{errors.New("there is no such attribute"), "an & in a value is written %26"}
		}
		if err == nil {
			var octets []byte
			if octets, at, err = unescape(value, query); err == nil {
				at, err = -len(name)-1, u.set(name, octets)
			}
		}
		if err != nil {
			fault := &URIError{Offset: offset + len(name) + 1 + at, Problem: err.Error()}
			if h, ok := err.(*hinted); ok {
				fault.hint = h.hint
			}
			return fault
		}
		offset += len(a) + 1
	}
	return nil
}

// hinted is a fault with a hint.
type hinted struct {
	error
	hint string
}

// pathAttributes and queryAttributes are the attributes of the two parts (RFC 7512, 2.3 and 2.4).
var (
	pathAttributes = []string{"token", "manufacturer", "serial", "model", "library-manufacturer", "library-version",
		"library-description", "object", "type", "id", "slot-description", "slot-manufacturer", "slot-id"}
	queryAttributes = []string{"pin-source", "pin-value", "module-name", "module-path"}
)

// text gives the place of an attribute that is a text.
func (u *URI) text(name string) **string {
	switch name {
	case "token":
		return &u.Token
	case "manufacturer":
		return &u.Manufacturer
	case "serial":
		return &u.Serial
	case "model":
		return &u.Model
	case "library-manufacturer":
		return &u.LibraryManufacturer
	case "library-version":
		return &u.LibraryVersion
	case "library-description":
		return &u.LibraryDescription
	case "object":
		return &u.Object
	case "slot-description":
		return &u.SlotDescription
	case "slot-manufacturer":
		return &u.SlotManufacturer
	case "pin-source":
		return &u.PINSource
	case "pin-value":
		return &u.PINValue
	}
	return nil
}

// set takes an attribute.
func (u *URI) set(name string, octets []byte) error {
	if name == "id" {
		if len(octets) == 0 {
			return errors.New("the id is empty")
		}
		u.ID = octets
		return nil
	}
	value := string(octets)
	if !utf8.ValidString(value) {
		return fmt.Errorf("the value of %q is not UTF-8", name)
	}
	if strings.ContainsRune(value, 0) {
		return fmt.Errorf("the value of %q has a NUL", name)
	}
	if p := u.text(name); p != nil {
		*p = &value
		return nil
	}
	switch name {
	case "type":
		if value != "private" {
			return &hinted{fmt.Errorf("type %q is no private key", printable(value)), "the CA's key is of type=private, which can be left out"}
		}
		u.Type = value
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || value[0] == '+' {
			return fmt.Errorf("slot-id %q is no number", printable(value))
		}
		u.SlotID = &n
	case "module-name":
		if value == "" || strings.ContainsAny(value, "/") {
			return &hinted{errors.New("module-name is a name without directory, lib and .so"), "with a path: module-path"}
		}
		u.ModuleName = value
	case "module-path":
		if !strings.HasPrefix(value, "/") {
			return errors.New("module-path is not absolute")
		}
		u.ModulePath = value
	}
	return nil
}

// known refuses attributes that are not defined, or in the other part.
func known(name string, query bool) error {
	own, other, where := pathAttributes, queryAttributes, "before the ?, with ; between attributes"
	if query {
		own, other = other, own
	} else {
		where = "behind the ?, with & between attributes"
	}
	for _, n := range own {
		if n == name {
			return nil
		}
	}
	for _, n := range other {
		if n == name {
			return fmt.Errorf("%q belongs %s", name, where)
		}
	}
	return &hinted{fmt.Errorf("there is no attribute %q", nameAlone(name)),
		"attributes: " + strings.Join(pathAttributes, ", ") + "; behind ?: " + strings.Join(queryAttributes, ", ")}
}

// nameAlone gives an attribute's name for a message, without what would be a value if a colon were written like that.
func nameAlone(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return printable(name)
}

// unescape undoes percent-encoding. The offset is that of a fault.
func unescape(value string, query bool) (out []byte, offset int, err error) {
	out = []byte{}
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c != '%' {
			if !plain(c, query) {
				return nil, i, fmt.Errorf("%s must be written %%%02X", strconv.QuoteToASCII(string(rune(c))), c)
			}
			out = append(out, c)
			continue
		}
		if i+2 >= len(value) {
			return nil, i, errors.New("% is not followed by two hexadecimal digits")
		}
		n, err := strconv.ParseUint(value[i+1:i+3], 16, 8)
		if err != nil || value[i+1] == '+' {
			return nil, i, errors.New("% is not followed by two hexadecimal digits")
		}
		out = append(out, byte(n))
		i += 2
	}
	return out, 0, nil
}

// plain reports whether a character stands for itself (pk11-pchar and pk11-qchar).
func plain(c byte, query bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~:[]@!$'()*+,=", c) >= 0:
		return true
	case query:
		return strings.IndexByte("/?|", c) >= 0
	}
	return c == '&'
}

// escape is the inverse of unescape.
func escape(value string, query bool) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if c := value[i]; plain(c, query) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// printable shortens what came from outside for a message, and makes it visible.
func printable(s string) string {
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// String gives the URI in one form: attributes in a fixed order. It holds the PIN if the URI does; see WithoutPIN.
func (u URI) String() string {
	var path, query []string
	for _, name := range pathAttributes {
		switch p := u.text(name); {
		case p != nil && *p != nil:
			path = append(path, name+"="+escape(**p, false))
		case name == "type" && u.Type != "":
			path = append(path, "type="+u.Type)
		case name == "slot-id" && u.SlotID != nil:
			path = append(path, fmt.Sprintf("slot-id=%d", *u.SlotID))
		case name == "id" && u.ID != nil:
			var b strings.Builder
			for _, c := range u.ID { // RFC 7512, 2.3: the whole value should be percent-encoded
				fmt.Fprintf(&b, "%%%02X", c)
			}
			path = append(path, "id="+b.String())
		}
	}
	for _, name := range queryAttributes {
		switch p := u.text(name); {
		case p != nil && *p != nil:
			query = append(query, name+"="+escape(**p, true))
		case name == "module-name" && u.ModuleName != "":
			query = append(query, name+"="+escape(u.ModuleName, true))
		case name == "module-path" && u.ModulePath != "":
			query = append(query, name+"="+escape(u.ModulePath, true))
		}
	}
	text := Scheme + strings.Join(path, ";")
	if len(query) > 0 {
		text += "?" + strings.Join(query, "&")
	}
	return text
}

// WithoutPIN gives the URI without the PIN, as it may be shown and kept.
func (u URI) WithoutPIN() URI {
	u.PINValue = nil
	return u
}

// PINFile gives the file that pin-source names; "" where there is none. RFC 7512, 2.4, leaves the form open: a path and a
// file: URI are read here, a program to be run ("|...") is refused.
func (u URI) PINFile() (string, error) {
	if u.PINSource == nil {
		return "", nil
	}
	source := *u.PINSource
	switch {
	case strings.HasPrefix(source, "|"):
		return "", errors.New("pin-source names a program; only files are read")
	case strings.HasPrefix(source, "file:"):
		source = strings.TrimPrefix(strings.TrimPrefix(source, "file:"), "//")
	}
	if !strings.HasPrefix(source, "/") {
		return "", fmt.Errorf("pin-source %q is no absolute path", printable(source))
	}
	return source, nil
}
