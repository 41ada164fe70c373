// llama.cpp's chat engine: JSON in, JSON out. Fields carry the names of llama.cpp's server.
#include "shim.h"
#include "guard.h"

#include "chat.h"
#include "json.h"

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

struct mullama_chat_templates {
    common_chat_templates_ptr inner;
};

struct mullama_chat_parser {
    common_chat_parser_params params;
};

namespace {

bool given(const common_json & from, const char * key) {
    return from.contains(key) && !from.at(key).is_null();
}

std::string text_or_empty(const common_json & from, const char * key) {
    return given(from, key) ? from.at(key).get<std::string>() : std::string();
}

bool flag(const common_json & from, const char * key, bool otherwise) {
    return given(from, key) ? from.at(key).get<bool>() : otherwise;
}

common_chat_templates_inputs read_request(const common_chat_templates * templates, const common_json & from) {
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(from.at("messages"));
    if (given(from, "tools")) {
        inputs.tools = common_chat_tools_parse_oaicompat(from.at("tools"));
    }
    if (given(from, "tool_choice")) {
        inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(from.at("tool_choice").get<std::string>());
    }
    inputs.json_schema           = text_or_empty(from, "json_schema");
    inputs.grammar               = text_or_empty(from, "grammar");
    inputs.add_generation_prompt = flag(from, "add_generation_prompt", true);
    inputs.parallel_tool_calls   = flag(from, "parallel_tool_calls", common_chat_templates_get_caps(templates)["supports_parallel_tool_calls"]);
    inputs.reasoning_format      = common_reasoning_format_from_name(from.at("reasoning_format").get<std::string>());
    inputs.enable_thinking = flag(from, "enable_thinking", true) && common_chat_templates_support_enable_thinking(templates);
    if (flag(from, "continue_final_message", false)) {
        inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
        inputs.add_generation_prompt  = false;
    }
    inputs.now = std::chrono::system_clock::time_point(std::chrono::seconds(from.at("now").get<int64_t>()));
    if (given(from, "chat_template_kwargs")) {
        const common_json & kwargs = from.at("chat_template_kwargs"); // [[name, value as JSON text], ...]
        for (size_t i = 0; i < kwargs.size(); i++) {
            inputs.chat_template_kwargs[kwargs.at(i).at((size_t) 0).get<std::string>()] = kwargs.at(i).at(1).get<std::string>();
        }
    }
    if (!inputs.grammar.empty() && !inputs.json_schema.empty()) {
        throw std::invalid_argument("either a grammar or a JSON schema may be given, not both");
    }
    if (!inputs.grammar.empty() && !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE) {
        throw std::invalid_argument("a grammar cannot be combined with tools");
    }
    return inputs;
}

common_json write_rendered(
        const common_chat_params & rendered, const common_chat_templates_inputs & inputs, const std::string & reasoning_format) {
    common_json triggers = common_json::array();
    for (const auto & trigger : rendered.grammar_triggers) {
        common_json entry = common_json::object();
        entry["type"]     = (int) trigger.type;
        entry["value"]    = trigger.value;
        entry["token"]    = (int) trigger.token;
        triggers.push_back(entry);
    }
    const bool tools = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;

    common_json result           = common_json::object();
    result["prompt"]             = rendered.prompt;
    result["format"]             = (int) rendered.format;
    result["format_name"]        = std::string(common_chat_format_name(rendered.format));
    result["grammar"]            = rendered.grammar;
    result["grammar_lazy"]       = rendered.grammar_lazy;
    result["grammar_triggers"]   = triggers;
    result["generation_prompt"]  = rendered.generation_prompt;
    result["preserved_tokens"]   = rendered.preserved_tokens;
    result["additional_stops"]   = rendered.additional_stops;
    result["supports_thinking"]  = rendered.supports_thinking;
    result["thinking_start_tag"] = rendered.thinking_start_tag;
    result["thinking_end_tags"]  = rendered.thinking_end_tags;
    result["parser"]             = rendered.parser;
    result["reasoning_format"]   = reasoning_format;
    result["parse_tool_calls"]   = tools;
    result["is_continuation"]    = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
    return result;
}

} // namespace

extern "C" mullama_chat_templates * mullama_chat_templates_new(
        const llama_model * model, const char * source, const char * bos, const char * eos, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (mullama_chat_templates *) nullptr, [&] {
        auto templates   = std::make_unique<mullama_chat_templates>();
        templates->inner = common_chat_templates_init(model, source, bos, eos);
        if (!templates->inner) {
            throw std::runtime_error("the chat template could not be read");
        }
        return templates.release();
    });
}

extern "C" void mullama_chat_templates_free(mullama_chat_templates * templates) {
    delete templates;
}

extern "C" bool mullama_chat_templates_explicit(const mullama_chat_templates * templates) {
    return common_chat_templates_was_explicit(templates->inner.get());
}

extern "C" char * mullama_chat_templates_caps(const mullama_chat_templates * templates, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (char *) nullptr, [&] {
        common_json result = common_json::object();
        for (const auto & cap : common_chat_templates_get_caps(templates->inner.get())) {
            result[cap.first] = cap.second;
        }
        result["supports_enable_thinking"] = common_chat_templates_support_enable_thinking(templates->inner.get());
        return mullama_new_string(result.dump_safe());
    });
}

extern "C" char * mullama_chat_render(
        const mullama_chat_templates * templates, const char * request, size_t request_len, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (char *) nullptr, [&] {
        const auto json     = common_json::parse(std::string(request, request_len));
        const auto inputs   = read_request(templates->inner.get(), json);
        const auto rendered = common_chat_templates_apply(templates->inner.get(), inputs);
        return mullama_new_string(write_rendered(rendered, inputs, json.at("reasoning_format").get<std::string>()).dump_safe());
    });
}

extern "C" mullama_chat_parser * mullama_chat_parser_new(
        const char * rendered, size_t rendered_len, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (mullama_chat_parser *) nullptr, [&] {
        const auto json   = common_json::parse(std::string(rendered, rendered_len));
        auto       parser = std::make_unique<mullama_chat_parser>();
        auto &     params = parser->params;
        params.format            = (common_chat_format) json.at("format").get<int>();
        params.generation_prompt = json.at("generation_prompt").get<std::string>();
        params.reasoning_format  = common_reasoning_format_from_name(json.at("reasoning_format").get<std::string>());
        params.parse_tool_calls  = json.at("parse_tool_calls").get<bool>();
        params.is_continuation   = json.at("is_continuation").get<bool>();
        const auto source        = json.at("parser").get<std::string>();
        if (!source.empty()) {
            params.parser.load(source);
        }
        return parser.release();
    });
}

extern "C" void mullama_chat_parser_free(mullama_chat_parser * parser) {
    delete parser;
}

extern "C" char * mullama_chat_parse(
        const mullama_chat_parser * parser, const char * text, size_t text_len, bool partial, char * err, size_t err_len) {
    return mullama_guard(err, err_len, (char *) nullptr, [&] {
        const auto message = common_chat_parse(std::string(text, text_len), partial, parser->params);
        return mullama_new_string(message.to_json_oaicompat().dump_safe());
    });
}
