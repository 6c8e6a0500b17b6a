package uri

import (
	"fmt"
	"strings"
)

const aliasBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// resolveAlias looks text up among uri_aliases (virURIFindAliasMatch). The entries are judged one after the other until
// one matches, so that a malformed entry stops whatever stands behind it, real URIs included.
func resolveAlias(aliases []string, text string) (target string, found bool, err *Error) {
	for _, a := range aliases {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return "", false, &Error{Rule: "uri-alias-malformed", LibvirtMessage: classConfSyntax +
				fmt.Sprintf("Malformed 'uri_aliases' config entry '%s', expected 'alias=uri://host/path'", a)}
		}
		if strings.Trim(name, aliasBytes) != "" {
			return "", false, &Error{Rule: "uri-alias-characters", LibvirtMessage: classConfSyntax +
				fmt.Sprintf("Malformed 'uri_aliases' config entry '%s', aliases may only contain 'a-Z, 0-9, _, -'", a)}
		}
		if name == text {
			return value, true, nil
		}
	}
	return "", false, nil
}
