"""Every group, dimension and variable name of a result, once.

An estimate `name` comes with `name_se`, `name_lower` and `name_upper`, on the same dimensions.
"""

# Groups
ESTIMATES = "estimates"
POSTERIOR = "posterior"
DIAGNOSTICS = "diagnostics"
CONVERGENCE = "convergence"
EVALUATIONS = "evaluations"
WEIGHTED_SAMPLE = "weighted_sample"
PRIOR_PREDICTIVE = "prior_predictive"
POSTERIOR_PREDICTIVE = "posterior_predictive"
SAMPLE_STATS = "sample_stats"
LOG_LIKELIHOOD = "log_likelihood"
OBSERVED_DATA = "observed_data"
CONSTANT_DATA = "constant_data"
VARIATIONAL = "variational"
NOISE = "noise"
EVIDENCE = "evidence"
OPTIMISATION = "optimisation"
PATH = "path"
THEORY = "theory"
# Their variables are the problem's own: parameters, fields, constraints, or a sampler's statistics.
OPEN_GROUPS = frozenset(
    {POSTERIOR, PRIOR_PREDICTIVE, POSTERIOR_PREDICTIVE, SAMPLE_STATS, LOG_LIKELIHOOD, OBSERVED_DATA, CONSTANT_DATA}
)
GROUPS = OPEN_GROUPS | {
    *(ESTIMATES, DIAGNOSTICS, CONVERGENCE, EVALUATIONS, WEIGHTED_SAMPLE, VARIATIONAL, NOISE, EVIDENCE, OPTIMISATION),
    PATH,
    THEORY,
}

# Dimensions
CHAIN = "chain"
DRAW = "draw"
INPUT = "input"
INPUT_OTHER = "input_other"
GROUP = "group"
GROUP_OTHER = "group_other"
OUTPUT = "output"
POINT = "point"
FAILURE = "failure"
N_EVALUATIONS = "n_evaluations"
FUNCTION = "function"
LAW = "law"
CONTROL = "control"
COMPONENT = "component"
BATCH = "batch"
CONSTRAINT = "constraint"
PARAMETER = "parameter"
COORDINATE = "coordinate"
FEATURE = "feature"
NETWORK_NUMBER = "network_number"
NETWORK_WEIGHT = "network_weight"
FIELD = "field"
QUANTITY = "quantity"
LEVEL = "level"
CANDIDATE = "candidate"
ITERATION = "iteration"
TRAINING_ITERATION = "training_iteration"
STEP = "step"
FINDING = "finding"
BEST_POINT = "best_point"
STUDY_PROBLEM = "study_problem"
SURROGATE = "surrogate"
SURROGATE_OTHER = "surrogate_other"
REPLICATE = "replicate"
EXPERT = "expert"
TASK_TRAINED = "task_trained"
TASK_EVALUATED = "task_evaluated"
DECODER = "decoder"
NETWORK_LAYER = "network_layer"
CONFIDENCE_BIN = "confidence_bin"
DIMENSIONS = frozenset(
    {
        *(CHAIN, DRAW, INPUT, INPUT_OTHER, GROUP, GROUP_OTHER, OUTPUT, POINT, FAILURE, N_EVALUATIONS),
        *(FUNCTION, LAW, CONTROL, COMPONENT, BATCH),
        *(
            CONSTRAINT,
            PARAMETER,
            COORDINATE,
            FEATURE,
            NETWORK_NUMBER,
            NETWORK_WEIGHT,
            FIELD,
            QUANTITY,
            LEVEL,
            CANDIDATE,
            ITERATION,
            TRAINING_ITERATION,
            STEP,
            FINDING,
        ),
        *(BEST_POINT, STUDY_PROBLEM, SURROGATE, SURROGATE_OTHER, REPLICATE, EXPERT),
        *(TASK_TRAINED, TASK_EVALUATED, DECODER, NETWORK_LAYER, CONFIDENCE_BIN),
    }
)

# Estimates
SOBOL_FIRST = "sobol_first"
SOBOL_TOTAL = "sobol_total"
SOBOL_SECOND = "sobol_second"
OUTPUT_MEAN = "output_mean"
OUTPUT_VARIANCE = "output_variance"
EXPECTATION = "expectation"

# Weighted sample
LOG_WEIGHT = "log_weight"

# Evaluations
INPUT_VALUE = "input_value"
OUTPUT_VALUE = "output_value"
STATUS = "status"
FAILED_POINT = "failed_point"
FAILURE_MESSAGE = "failure_message"

# Diagnostics
N_MODEL_EVALUATIONS_COUNT = "n_model_evaluations"
N_ROWS = "n_rows"
N_ROWS_USED = "n_rows_used"
N_FAILED = "n_failed"
N_REUSED = "n_reused"
BUDGET_UNUSED = "budget_unused"
VERDICT = "verdict"
VERDICT_TEXT = "verdict_text"
N_EXPLORATION = "n_exploration"
EFFECTIVE_DRAWS = "effective_draws"
PARETO_K = "pareto_k"
LAW_PARETO_K = "law_pareto_k"
LAW_Z = "law_z"
CONTROL_Z = "control_z"
COMPONENT_SHARE = "component_share"
CRITERION = "criterion"

# Noise scales
NOISE_SCALE = "noise_scale"
N_OBSERVATIONS = "n_observations"
EFFECTIVE_PARAMETERS = "effective_parameters"
RMS_RESIDUAL = "rms_residual"
IDENTIFIED = "identified"

# Evidence and optimisation
LOG_EVIDENCE = "log_evidence"
CHOSEN = "chosen"
HELD_OUT_RESIDUAL = "held_out_residual"
OBJECTIVE = "objective"
TRAINING_OBJECTIVE = "training_objective"
LOSS = "loss"
BALANCE = "balance"
GRADIENT = "gradient"
GRADIENT_SHARE = "gradient_share"
LAYER = "layer"

# Fields
FREQUENCY = "frequency"
NETWORK = "network"
WEIGHT_SCALE = "weight_scale"
PHASE = "phase"
CENTRE = "centre"
HALF_WIDTH = "half_width"
WEIGHT = "weight"
WEIGHT_DRAW = "weight_draw"
AMPLITUDE = "amplitude"
PARAMETER_SCORE = "parameter_score"
PARAMETER_SCORE_DRAW = "parameter_score_draw"
RELATIVE_ERROR = "relative_error"
COVERAGE = "coverage"
RMS_Z = "rms_z"
CONDITION_NUMBER = "condition_number"
LAPLACE_SHIFT = "laplace_shift"
R_HAT = "r_hat"
ESS_BULK = "ess_bulk"
ESS_TAIL = "ess_tail"
FINDING_TEXT = "finding_text"
PRIOR_SHARE = "prior_share"

# Chains of surrogates
R_HAT_MEDIAN = "r_hat_median"
R_HAT_95 = "r_hat_95"
ESS_MEDIAN = "ess_median"
R_HAT_SCALES = "r_hat_scales"
WEIGHT_NORM_RATIO = "weight_norm_ratio"
N_DIVERGING = "n_diverging"
N_GRADIENTS = "n_gradients"

# Optimisation of a forward model
OBJECTIVE_VALUE = "objective_value"
N_EVALUATIONS_SO_FAR = "n_evaluations_so_far"
BEST_VALUE = "best_value"
HYPERVOLUME = "hypervolume"
REGRET = "regret"
BEST_INPUT = "best_input"
BEST_OUTPUT = "best_output"
FEASIBLE = "feasible"
PROPOSED_AFTER = "proposed_after"
PREDICTED = "predicted"
FIT_SECONDS = "fit_seconds"
ACQUISITION_SECONDS = "acquisition_seconds"

# Studies of surrogates
CRPS = "crps"
LOG_SCORE = "log_score"
RMSE = "rmse"
FINAL_DIFFERENCE = "final_difference"
LOG_REGRET_DIFFERENCE = "log_regret_difference"
LOG_CRPS_DIFFERENCE = "log_crps_difference"
P_VALUE = "p_value"
P_VALUE_HOLM = "p_value_holm"
MEAN_RANK = "mean_rank"
FRIEDMAN_P_VALUE = "friedman_p_value"
CRITICAL_DIFFERENCE = "critical_difference"

# Samplers along a path of densities
LOG_NORMALIZER = "log_normalizer"
RENYI_ENTROPY = "renyi_entropy"
TARGET_MEAN = "target_mean"
TARGET_SD = "target_sd"
TIME = "time"
EFFECTIVE_SHARE = "effective_share"
ISLAND_LOG_NORMALIZER = "island_log_normalizer"
RESAMPLED = "resampled"
STEIN = "stein"
STEIN_Z = "stein_z"
EXPERT_CONFLICT = "expert_conflict"
STIFFNESS = "stiffness"
N_ROOTS = "n_roots"
CONTROL_COEFFICIENT = "control_coefficient"
PATH_MARGIN = "path_margin"
EXPONENT = "exponent"
ANCESTOR = "ancestor"
ROOT = "root"

# Tasks that come one after another
ACCURACY = "accuracy"
BRIER = "brier"
CALIBRATION_ERROR = "expected_calibration_error"
AVERAGE_ACCURACY = "average_accuracy"
LEARNING_ACCURACY = "learning_accuracy"
BACKWARD_TRANSFER = "backward_transfer"
FORWARD_TRANSFER = "forward_transfer"
FORGETTING = "forgetting"
BIN_SHARE = "bin_share"
BIN_CONFIDENCE = "bin_confidence"
BIN_ACCURACY = "bin_accuracy"
WEIGHT_FIELD = "weight_field"
MAGNETISATION = "magnetisation"
PRIOR_FIELD = "prior_field"
MEMORY = "memory"
MEMORY_OF = tuple(
    f"memory_{one}" for one in ("precision", "pull", "last_step", "first_moment", "second_moment", "count")
)
MEAN_VARIANCE = "mean_variance"
ENTROPY_PER_WEIGHT = "entropy_per_weight"
KL_TO_PREVIOUS = "kl_to_previous"
N_FLIPS = "n_flips"
FIELD_TRAVEL = "field_travel"
OVERLAP = "overlap"
SELF_OVERLAP = "self_overlap"
SUSCEPTIBILITY = "susceptibility"
STABILITY = "stability"
FREE_ENERGY = "free_energy"

VARIABLES = frozenset(
    {
        *(ACCURACY, BRIER, CALIBRATION_ERROR, AVERAGE_ACCURACY, LEARNING_ACCURACY, BACKWARD_TRANSFER),
        *(FORWARD_TRANSFER, FORGETTING, BIN_SHARE, BIN_CONFIDENCE, BIN_ACCURACY, WEIGHT_FIELD, MAGNETISATION),
        *(PRIOR_FIELD, *MEMORY_OF, MEAN_VARIANCE, ENTROPY_PER_WEIGHT, KL_TO_PREVIOUS, N_FLIPS, FIELD_TRAVEL),
        *(OVERLAP, SELF_OVERLAP, SUSCEPTIBILITY, STABILITY, FREE_ENERGY),
        *(LOG_NORMALIZER, RENYI_ENTROPY, TARGET_MEAN, TARGET_SD, TIME, EFFECTIVE_SHARE, ISLAND_LOG_NORMALIZER),
        *(RESAMPLED, STEIN, STEIN_Z, EXPERT_CONFLICT, STIFFNESS, N_ROOTS, CONTROL_COEFFICIENT, PATH_MARGIN, EXPONENT),
        *(ANCESTOR, ROOT),
        SOBOL_FIRST,
        SOBOL_TOTAL,
        SOBOL_SECOND,
        OUTPUT_MEAN,
        OUTPUT_VARIANCE,
        INPUT_VALUE,
        OUTPUT_VALUE,
        STATUS,
        FAILED_POINT,
        FAILURE_MESSAGE,
        N_MODEL_EVALUATIONS_COUNT,
        N_ROWS,
        N_ROWS_USED,
        N_FAILED,
        N_REUSED,
        BUDGET_UNUSED,
        VERDICT,
        VERDICT_TEXT,
        EXPECTATION,
        LOG_WEIGHT,
        N_EXPLORATION,
        EFFECTIVE_DRAWS,
        PARETO_K,
        LAW_PARETO_K,
        LAW_Z,
        CONTROL_Z,
        COMPONENT_SHARE,
        CRITERION,
        *(NOISE_SCALE, N_OBSERVATIONS, EFFECTIVE_PARAMETERS, RMS_RESIDUAL, IDENTIFIED, LOG_EVIDENCE, CHOSEN),
        *(
            HELD_OUT_RESIDUAL,
            OBJECTIVE,
            *(TRAINING_OBJECTIVE, LOSS, BALANCE, GRADIENT, GRADIENT_SHARE),
            FREQUENCY,
            NETWORK,
            WEIGHT_SCALE,
            PHASE,
            CENTRE,
            HALF_WIDTH,
            WEIGHT,
            WEIGHT_DRAW,
            AMPLITUDE,
        ),
        *(PARAMETER_SCORE, PARAMETER_SCORE_DRAW, RELATIVE_ERROR, COVERAGE, RMS_Z, CONDITION_NUMBER, LAPLACE_SHIFT),
        *(R_HAT, ESS_BULK, ESS_TAIL, FINDING_TEXT, PRIOR_SHARE),
        *(OBJECTIVE_VALUE, N_EVALUATIONS_SO_FAR, BEST_VALUE, HYPERVOLUME, REGRET, BEST_INPUT, BEST_OUTPUT, FEASIBLE),
        *(PROPOSED_AFTER, PREDICTED, FIT_SECONDS, ACQUISITION_SECONDS, CRPS, LOG_SCORE, RMSE, FINAL_DIFFERENCE),
        *(LOG_REGRET_DIFFERENCE, LOG_CRPS_DIFFERENCE, P_VALUE, P_VALUE_HOLM, MEAN_RANK, FRIEDMAN_P_VALUE),
        CRITICAL_DIFFERENCE,
        *(R_HAT_MEDIAN, R_HAT_95, ESS_MEDIAN, R_HAT_SCALES, WEIGHT_NORM_RATIO, N_DIVERGING, N_GRADIENTS),
    }
)


def standard_error(name: str) -> str:
    """Name of an estimate's standard error."""
    return f"{name}_se"


def lower(name: str) -> str:
    """Name of the lower end of an estimate's interval."""
    return f"{name}_lower"


def upper(name: str) -> str:
    """Name of the upper end of an estimate's interval."""
    return f"{name}_upper"


# Attributes of the root
WORKFLOW = "workflow"
PROBLEM = "problem"
METHOD = "method"
KEY = "key"
VERSIONS = "versions"
N_MODEL_EVALUATIONS = "n_model_evaluations"
WALL_TIME = "wall_time_seconds"
ROOT_ATTRIBUTES = (WORKFLOW, PROBLEM, METHOD, KEY, VERSIONS, N_MODEL_EVALUATIONS, WALL_TIME)

# Attributes of intervals and draws
PROBABILITY = "probability"
INTERVAL_KIND = "interval_kind"
INDEPENDENT_DRAWS = "independent_draws"
