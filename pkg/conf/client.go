package conf

import (
	"fmt"
	"strings"
)

// An AliasEntry is one element of uri_aliases.
type AliasEntry struct{ Name, URI string }

// A ClientConf is what libvirt's client makes of libvirt.conf or libvirt-admin.conf. libvirt looks at a setting when a
// connection needs it, so that one file may stop some connections and not others; Problems says which.
type ClientConf struct {
	File       *File
	URIDefault *string
	// Aliases are the elements of uri_aliases before the first malformed one; only those can be used.
	Aliases                 []AliasEntry
	RemoteMode, RemoteProxy *string
	TLSPriority             *string
	// Problems are the refusals, in the order in which a connection meets them.
	Problems []ClientProblem
}

// A ClientProblem is a setting that stops connections.
type ClientProblem struct {
	*FatalError
	// Stops says which connections fail, in words.
	Stops string
}

// ReadClient reads libvirt.conf, or with k = Admin libvirt-admin.conf (virConnectOpenInternal, virURIFindAliasMatch,
// doRemoteOpen).
func ReadClient(f *File, k Kind) *ClientConf {
	c := &ClientConf{File: f}
	stop := func(err error, stops string) {
		if e, ok := err.(*FatalError); ok {
			c.Problems = append(c.Problems, ClientProblem{e, stops})
		}
	}
	optional := func(key string, to **string, stops string) bool {
		v, ok, err := f.String(key)
		stop(err, stops)
		if ok && err == nil {
			*to = &v
		}
		return *to != nil
	}
	optional("uri_default", &c.URIDefault, "connections without a URI")
	list, _, err := f.Strings("uri_aliases")
	stop(err, "every connection")
	for _, entry := range list {
		alias, err := parseAlias(f, entry)
		if err != nil {
			stop(err, "every connection but those that name an alias further up")
			break
		}
		c.Aliases = append(c.Aliases, alias)
	}
	if k == Admin {
		return c
	}
	if optional("remote_mode", &c.RemoteMode, "every remote connection") && !oneOf(*c.RemoteMode, "auto", "legacy", "direct") {
		stop(f.refused("remote_mode", 1, fmt.Sprintf("invalid argument: Unknown remote mode '%s'", *c.RemoteMode)),
			"every remote connection whose URI has no mode=")
	}
	if optional("remote_proxy", &c.RemoteProxy, "every remote connection") && !oneOf(*c.RemoteProxy, "auto", "netcat", "native") {
		// "Unnkown" is libvirt's spelling.
		stop(f.refused("remote_proxy", 1, fmt.Sprintf("invalid argument: Unnkown proxy type '%s'", *c.RemoteProxy)),
			"every remote connection whose URI has no proxy=")
	}
	optional("tls_priority", &c.TLSPriority, "every TLS connection")
	return c
}

func oneOf(s string, of ...string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}

// aliasChars are those of an alias's name (virURIFindAliasMatch).
const aliasChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

func parseAlias(f *File, entry string) (AliasEntry, error) {
	name, uri, ok := strings.Cut(entry, "=")
	if !ok {
		return AliasEntry{}, f.refused("uri_aliases", 1, fmt.Sprintf("configuration file syntax error: Malformed 'uri_aliases' "+
			"config entry '%s', expected 'alias=uri://host/path'", entry))
	}
	if strings.Trim(name, aliasChars) != "" {
		return AliasEntry{}, f.refused("uri_aliases", 1, fmt.Sprintf("configuration file syntax error: Malformed 'uri_aliases' "+
			"config entry '%s', aliases may only contain 'a-Z, 0-9, _, -'", entry))
	}
	return AliasEntry{name, uri}, nil
}
