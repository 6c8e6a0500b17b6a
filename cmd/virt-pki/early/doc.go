// Package early answers virt-pki query-dn FILE... before the rest of the program is initialised.
//
// Scripts call query-dn in loops. What takes the time is not the certificate, but the initialisation of packages that the
// other commands need, above all zlint's registry and the public suffix list behind cfssl's signer. Go initialises the
// packages whose imports are ready in the order of their import paths, so that this one, which imports little, has its turn
// before github.com/weppos/publicsuffix-go and most of github.com/zmap. Nothing but the time depends on it: what is not
// answered here, the command answers.
//
// Only the good case is answered: regular files, each with a name, and no options. It is no more than certs.QueryDN, which
// the command calls as well; every message and every other way of calling is the command's.
//
// Main imports this package for its side effect. There is nothing to call.
package early
