"""What people call things: the names of arguments, attributes and variables, by their meaning.

A name may stand for several things; which it is, shapes and a trial decide (`trying`). `WEAK` names
are taken only where nothing better is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

STRONG = {
    "weights": "weights weight w ws pi pis mixing mixing_coefficients mixing_weights phi phis "
    "priors prior mixture_weights proportions mixing_proportions mix tau taus alpha alphas "
    "coefficients component_weights cluster_weights class_probs lam lams mixes fi scaling scalings",
    "means": "means mean mu mus m centers centres centroids mean_vectors mu_k averages locs",
    "variances": "variances variance var vars sigma2 sigma2s sigmasq sigma_sq sigma_squared v vs "
    "sigmas2 s2",
    "sds": "sds sd sigma sigmas std stds stddev stddevs standard_deviations scale scales sig "
    "standard_deviation std_devs std_dev sdev devs dev",
    "covariances": "covariances covariance cov covs covars sigma sigmas covariance_matrices s "
    "cov_matrices covar sig cs",
    "startprob": "startprob start_prob pi initial initial_probs initial_distribution pi0 start_p "
    "start_probability start_probabilities initial_probabilities initial_probability init_p pis "
    "initial_state_distribution start_distribution p0 prior priors init_dist initial_dist "
    "init_prob init_probs starting starts first_probs",
    "transmat": "transmat trans_mat a transitions transition transition_matrix trans trans_p "
    "transition_probability transition_probabilities transition_probs trans_probs trans_prob "
    "tmat aij a_mat gamma_matrix trans_matrix",
    "emissionprob": "emissionprob emission_prob b emissions emission emission_matrix emit emit_p "
    "emission_probability emission_probabilities emission_probs observation_matrix emit_probs "
    "emit_prob emission_p e_mat b_mat obs_prob obs_probs output_matrix",
    "data": "data x xs obs observations obs_seq observation_sequence symbols samples sequence "
    "sequences seqs points y ys o dataset observed observation train_data x_train values seq "
    "obs_sequence xn sample emissions_seen datapoints data_points observed_sequence signal observ "
    "observs observ_seq obs_list obs_data data_set",
    "parameters": "parameters params theta model",
    "iterations": "iterations n_iter n_iters n_iterations num_iterations num_iter max_iter niter "
    "max_iters max_iterations iters steps n_steps epochs epoch times maxiter num_iters repeats "
    "n_epochs num_epochs rounds max_steps iteration_count nsteps num_steps loops iter_num it_max "
    "maxits max_its n_its cycles round_cnt",
    "n_components": "n_components n_states k components n_clusters num_components n_hidden ks "
    "num_states hidden_states clusters number_of_clusters n_state num_clusters n_gaussians k_comp "
    "nstates n_hidden_states m_states nb_states state_num no_of_sources num_gaussians "
    "nb_class nb_classes n_classes dist_cnt number_of_gaussians number_of_components "
    "number_of_states",
    "n_features": "n_features n_symbols n_obs v n_emissions n_observations num_symbols vocab_size "
    "n_obs_symbols num_obs observation_count nb_symbols nsymbols n_outputs alphabet_size "
    "symbol_num number_of_symbols",
    "seed": "seed random_state rng_seed",
    "tol": "tol tolerance epsilon eps threshold thresh stop_tol convergence tolerence delta_min",
    "reg_covar": "reg_covar reg ridge regularization reg_cov",
    "size": "n_samples n_points t_len seq_len n_data num_samples num_points length",
    "states": "states state_names hidden_state_names state_space state_list",
    "symbols": "symbols symbol symbol_names alphabet vocabulary obs_space observation_names vocab "
    "observation_space possible_observations emissions_names",
    "columns": "n_dims dim dims n_dim ndim d_x",
    "history": "ll lls history log_likelihoods logliks losses likelihoods",
    "quiet": "verbose plot show debug display draw verbosity visualize",
}
"""Names under which a field or another argument goes.

`sds` are standard deviations in place of variances. A tolerance and a ridge are given as 0, `quiet`
is False, `size` the number of observations, `history` a list that is filled. A field that is not
among them goes by its own name, and by its singular.
"""

WEAK = {
    "weights": "p ps probs probabilities theta eta rho q a c g_weights shares",
    "means": "theta c mu_vec a b",
    "variances": "s c sigma sigmas cov covs covariances covariance covars covar lam beta "
    "s_k sig scale",
    "sds": "s ss c",
    "covariances": "v var variances c variance lam",
    "startprob": "init p s q i rho start initials phi c init_state d b_0",
    "transmat": "t p tr q theta tm m trans_dist ta p_trans phi alpha",
    "emissionprob": "e phi c em theta d o_mat q emis r p_obs beta m",
    "data": "v s o d seq_data z points_list list words t string outcomes rolls activity activities",
    "n_components": "n m n_comp s states c",
    "n_features": "m n o symbols vocab d",
    "size": "n t nn length l",
    "iterations": "n it t max_it count i",
    "tol": "delta",
    "columns": "d p n_features m",
    "parameters": "p par start old guess",
    "states": "s q",
    "symbols": "v o",
}
"""Names that may have this meaning where a better one is not there."""

EXPECTATIONS = (
    "gamma gammas resp resps responsibilities responsibility r g z zs posteriors posterior "
    "expectations weights w xi xis tau taus h q p membership memberships probs stats statistics"
)
"""What an M-step calls the expectations that it is given."""

LOG_LIKELIHOODS = (
    "log_likelihood loglik ll log_lik log_likelihoods logl loglikelihood logliks lls llh "
    "log_likelihood_history log_likelihood_trace likelihoods_log logprob log_prob log_evidence "
    "log_ls l_history ll_history ll_trace trace history likelihood_log total_log_likelihood"
)


@cache
def words(text: str) -> str:
    """Return a name in lower case, with underscores between its words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", text)
    return text.lower().strip("_")


@cache
def plain(name: str) -> str:
    """Return a name without what people put around it."""
    name = words(name)
    name = re.sub(
        r"^(init|initial|old|new|start|current|cur|est|estimated|log|prev|self|my)_", "", name
    )
    return re.sub(
        r"_(init|initial|hat|new|old|start|k|mat|matrix|list|vec|ar|arr|array|est|current|cur)$|_?0$",
        "",
        name,
    )


@cache
def spoken(role: str, *, weak: bool = False) -> tuple[str, ...]:
    """Return the names under which a role goes."""
    if weak:
        return tuple(WEAK.get(role, "").split())
    if role in STRONG:
        return tuple(STRONG[role].split())
    return (role, role.removesuffix("s"))


def meanings(name: str, fields: Sequence[str]) -> list[tuple[str, float]]:
    """Return what a name may stand for, the likeliest first, each with its cost.

    Parameters
    ----------
    name : str
    fields : sequence of str
        Of the model; ``sds`` comes with ``variances``.
    """
    return list(_meanings(name, tuple(fields)))


@cache
def _meanings(name: str, fields: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    known = [*fields, *(["sds"] if "variances" in fields else [])]
    known += [role for role in STRONG if role not in FIELDS]
    costs: dict[str, float] = {}
    for base, form in ((0.0, words(name)), (0.2, plain(name)), (0.3, plain(name).rstrip("s"))):
        for place, role in enumerate(known):
            cost = base + 0.01 * place
            if form in spoken(role):
                costs.setdefault(role, cost)
            elif form in spoken(role, weak=True):
                costs.setdefault(role, cost + 1)
    if plain(name) == "":
        return ()
    for place, role in enumerate(known):  # one of the words is the word
        if role == "data" and words(name).startswith(("n_", "num_", "len_", "size")):
            continue
        stems = [w for w in spoken(role) if len(w) > 3]
        if role not in costs and any(w in words(name) for w in stems):
            costs[role] = 1.5 + 0.01 * place
    return tuple(sorted(costs.items(), key=lambda item: item[1]))


FIELDS = [
    "weights",
    "means",
    "variances",
    "sds",
    "covariances",
    "startprob",
    "transmat",
    "emissionprob",
]


def is_expectation(name: str) -> bool:
    """Return whether an M-step's argument of that name is what the E-step returned."""
    return plain(name) in EXPECTATIONS.split()


def is_log_likelihood(name: Any) -> bool:
    """Return whether a name is that of a log-likelihood, or of a trace of them."""
    form = words(str(name)) if name else ""
    return form in LOG_LIKELIHOODS.split() or "log_lik" in form or "loglik" in form


def roles(fields: Sequence[str]) -> list[str]:
    """Return all that a name may stand for, for a model with these fields."""
    own = [*fields, *(["sds"] if "variances" in fields else [])]
    return [*own, *(role for role in STRONG if role not in FIELDS)]
