package notation

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

type repository = notationregistry.Repository

// open is the artifact's repository as the library wants it.
func open(ctx context.Context, a Artifact) (repository, error) {
	at := a.Ref.Context()
	repo, err := remote.NewRepository(at.Name())
	if err != nil {
		return nil, err
	}
	login, err := authn.Authorization(ctx, a.Authenticator())
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = at.Scheme() == "http"
	client := &http.Client{Transport: a.Bounded()}
	if a.LoggedIn {
		repo.Client = client
		return notationregistry.NewRepository(repo), nil
	}
	repo.Client = &auth.Client{
		Client: client,
		Credential: auth.StaticCredential(repo.Reference.Host(), auth.Credential{
			Username: login.Username, Password: login.Password,
			RefreshToken: login.IdentityToken, AccessToken: login.RegistryToken,
		}),
		Cache: auth.NewCache(), // one login for the three requests of a signature
	}
	return notationregistry.NewRepository(repo), nil
}
