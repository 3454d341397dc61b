// Package access says who may do what. A client shows a credential: a key, which
// everybody with the link has, or a token, which one's own service has made for
// one user. Credentials become a [Grant], and the grant says what is allowed.
//
// The package knows no connections and no topics' members. Whoever asks carries
// out what it says.
package access
